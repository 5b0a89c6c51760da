/** A message for subscribers: its frames and counters; `hub.ts` selects the receivers. */
import { encodeMsgAt, encodeTextMessage, readRouted } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import { entryFrame } from "./flow.ts";
import type { Entry } from "./entry.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { Channel, Subscriber } from "./channel.ts";
import type { DeliveryNotes } from "./delivery_notes.ts";
import type { Frame } from "./frame_bytes.ts";

/** A message on its way to subscribers; `plain` is `envelope` when it is known. */
export interface Outgoing {
  readonly envelope: Uint8Array;
  /** The message's offset; 0 in rooms that are not durable. */
  readonly offset: number;
  readonly origin: string | undefined;
  readonly plain?: PlainEnvelope | undefined;
  /** Whether the bus itself is the sender; absent: it is not. */
  readonly is_own?: boolean | undefined;
  /** Its entry in the room's log, which caches its frames; absent: it is not from there. */
  readonly entry?: Entry;
}

/** The frame of a message in one of its two forms. */
export function frameOf({ entry, envelope, offset, plain }: Outgoing, is_text: boolean): Frame {
  if (entry !== undefined) return entryFrame(entry, is_text);
  if (!is_text) return encodeMsgAt(envelope, offset);
  const shown = plain ?? readRouted(envelope);
  return encodeTextMessage(offset === 0 ? shown : { ...shown, offset });
}

/** Counts deliveries to so many subscribers. */
export function countSent(
  stats: Pick<ShieldStats, "egress_messages" | "egress_events">,
  { tenant }: Pick<Channel, "tenant">,
  sent: number,
  is_own: boolean | undefined,
): void {
  if (is_own === true) stats.egress_events += sent;
  else {
    stats.egress_messages += sent;
    tenant.egress_messages += sent;
  }
}

/** Whether some subscriber subscribes to the room without waiting for its log. */
export function hasLive({ subscribers }: Pick<Channel, "subscribers">): boolean {
  for (const { flow } of subscribers.members) if (flow?.is_live !== false) return true;
  return false;
}

/** Whether a subscriber subscribes to the room without a place in its log: it has not entered it. */
export const isPlaceless = ({ flow }: Subscriber): boolean => flow === undefined;

/** Records that a subscriber skips its unread messages, up to an offset. */
export function passOver(
  ledger: DeliveryNotes | undefined,
  { noted }: Pick<Channel, "noted">,
  { flow, mark }: Pick<Subscriber, "flow" | "mark">,
  to: number,
): void {
  if (noted === undefined || mark === undefined || flow === undefined) return;
  const { after, last } = flow.episode;
  const from = Math.max(after, last) + 1;
  ledger?.passedOver(noted, mark, { from, to, why: "slow_reader" });
}
