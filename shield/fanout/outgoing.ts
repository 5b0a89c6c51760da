/** A message on its way to subscribers, and the frames that it makes; who gets them is `hub.ts`. */
import { encodeMsgAt, encodeTextMessage, readRouted } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import { entryFrame } from "../durable/room/flow.ts";
import type { Entry } from "../durable/messages/timeline.ts";
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
  /** What the message is in its room's log, which keeps its frames; absent: it is not from there. */
  readonly entry?: Entry;
}

/** The frame of a message in one of its two forms. */
export function frameOf({ entry, envelope, offset, plain }: Outgoing, is_text: boolean): Frame {
  if (entry !== undefined) return entryFrame(entry, is_text);
  if (!is_text) return encodeMsgAt(envelope, offset);
  const shown = plain ?? readRouted(envelope);
  return encodeTextMessage(offset === 0 ? shown : { ...shown, offset });
}
