/** The hub's state of a room and of a subscriber, and what it reads from them. */
import type { FewSet } from "../../shared/containers/few_set.ts";
import type { UserUse } from "../../shared/records/user_use.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { Subscription } from "../../shared/spine/contract/spine_message.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTotals } from "../stats/tenant_stats.ts";
import type { RoomMessage } from "./backlog.ts";
import type { SeenMessages } from "./deduplicate.ts";
import type { DeliveryNotes } from "./delivery_notes.ts";
import type { DeltaReceiver, DeltaRoom } from "./deltas.ts";
import type { DurableRoom, Flow } from "./entry.ts";
import type { Filtered, FilteredRoom } from "./filters.ts";
import type { Frame } from "./frame_bytes.ts";
import type { Reception } from "./reception.ts";

/** Rooms entered, left or looked up in one slice: at most half a millisecond. */
export const ROOMS_A_PIECE = 64;

/** One connection's subscription to one room. */
export interface Subscriber extends Filtered, DeltaReceiver {
  readonly connection_id: string;
  readonly text: boolean;
  readonly no_echo: boolean;
  /** The subscriber's place in a durable room; undefined: it receives live messages. */
  readonly flow?: Flow | undefined;
  /** The connection's number in the ledger, if the subscription has no mark yet. */
  readonly number?: number;
  /** The object that counts its usage; absent: not counted. */
  readonly use?: UserUse | undefined;
  /** Sends a frame. With `message`, it may be left out for a client that reads too slowly. */
  send(frame: Frame, message?: RoomMessage): void;
  /** Called when the subscriber is too far behind. */
  overflow?(): void;
}

/** A room with subscribers, or with a connection that is about to be one. */
export interface Channel extends DeltaRoom, FilteredRoom {
  readonly seen: SeenMessages;
  /** The counts of the room's tenant: deliveries are counted there too. */
  readonly tenant: TenantTotals;
  readonly subscribers: FewSet<Subscriber>;
  /** The room's subscriptions to the Spine; empty: its tenant's pattern subscriptions deliver it. */
  spine: readonly Subscription[];
  /** The number of messages from the Spine since the room was opened. */
  messages: number;
  /** The number of connections that are about to subscribe; the room stays open for them. */
  pins: number;
  room_class: RoomClass | undefined;
  durable: DurableRoom | undefined;
  readonly reception: Reception;
}

/** Counts deliveries to that many subscribers. */
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

/** Makes a subscriber live; false: it was. What it has not read yet, up to an offset, is skipped. */
export function skip(
  ledger: DeliveryNotes | undefined,
  { noted }: Pick<Channel, "noted">,
  { flow, mark }: Pick<Subscriber, "flow" | "mark">,
  to: number,
  why: "slow_reader" | "lost",
  position = ledger?.position ?? 0,
): boolean {
  const is_behind = flow?.is_live === false;
  const from = Math.max(flow?.episode.after ?? 0, flow?.episode.last ?? 0) + 1;
  const is_noted = is_behind && from <= to && noted !== undefined && mark !== undefined;
  if (is_noted) ledger?.passedOver(noted, mark, { from, to, why });
  flow?.finish();
  flow?.noteLive(position);
  return is_behind;
}
