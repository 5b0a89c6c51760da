/**
 * The events about growing messages for readers of a room, in its companion room. Delivery is at most once; a reader
 * detects a gap by the numbers, and requests the message. The SDKs implement the readers.
 */
import { roomSubject } from "../../shared/subjects/subject.ts";
import { growingRoomOf } from "../../shared/rooms/reserved.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { give } from "../message/room_order.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { type Ending, type GrowingRecord, lastOf, type Piece } from "./record.ts";
import type { GrowingKey } from "./records.ts";

const GROWING_TYPE = "growing";

/** The position of an ended message. */
export interface Stored {
  /** Its offset in the room's log; 0: the room no longer has one. */
  readonly offset: number;
  /** Whether it may differ from its pieces, since policies have judged the whole. */
  readonly is_changed: boolean;
}

/** The path of the bus's own events about growing messages. */
type TellingContext = Pick<MessagePath, "spine" | "order" | "now" | "random">;

/** The public part of a message for subscribers of its room, without its text. */
export const viewOf = ({ id }: GrowingKey, record: GrowingRecord) => ({
  id,
  type: record.type,
  content_type: record.content_type,
  sender: record.producer.user_id,
  seq: lastOf(record),
  started_ms: record.started_ms,
});

/** Publishes the start of a message. */
export function tellStart(context: TellingContext, key: GrowingKey, record: GrowingRecord): void {
  tell(context, key, { op: "start", ...viewOf(key, record) });
}

/** Publishes one piece. */
export function tellPiece(context: TellingContext, key: GrowingKey, { seq, text }: Piece): void {
  tell(context, key, { op: "append", id: key.id, seq, text });
}

/** Publishes its end: first the text released with the end, then its offset, which is absent if it was not stored. */
export function tellEnd(
  context: TellingContext,
  key: GrowingKey,
  record: GrowingRecord,
  { outcome, reason, by }: Pick<Ending, "outcome" | "reason" | "by">,
  stored: Stored | undefined,
): void {
  const { text, ending } = record;
  const seq = lastOf(record);
  if (ending?.tail !== undefined) tellPiece(context, key, { seq, text: text.slice(-ending.tail) });
  const { offset, is_changed: changed } = stored ?? {};
  const { started_ms } = record;
  const end = { op: "end", id: key.id, seq, started_ms, outcome, reason, by, offset, changed };
  tell(context, key, end);
}

function tell(context: TellingContext, { tenant_id, room_id }: GrowingKey, content: object): void {
  const beside = growingRoomOf(room_id);
  if (beside === undefined) return;
  const data = new TextEncoder().encode(JSON.stringify(content));
  const event = { type: GROWING_TYPE, data, content_type: "application/json" };
  const envelope = systemEnvelope(context, { tenant_id, room_id: beside, event });
  give(context, roomSubject("in", tenant_id, beside), envelope, undefined);
}
