/**
 * What the readers of a room receive of its growing messages: events in a room beside it. At most once; who
 * misses one sees it by the numbers, and asks for the message. What readers do with them is the SDKs'.
 */
import { roomSubject } from "../../shared/subjects/subject.ts";
import { growingRoomOf } from "../../shared/rooms/growing_room.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { give } from "../message/room_order.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { lastOf } from "./record.ts";
import type { Ending, GrowingRecord, Piece } from "./record.ts";
import type { GrowingKey } from "./records.ts";

/** The type of these events. */
const GROWING_TYPE = "growing";

/** Where an ended message is. */
export interface Stored {
  /** In the room's log; 0: the room has none any longer. */
  readonly offset: number;
  /** Whether it may differ from its pieces, since policies have looked at the whole. */
  readonly is_changed: boolean;
}

/** What telling needs of the process. */
export type TellingContext = Pick<MessagePath, "spine" | "order" | "now" | "random">;

/** What of a message everybody may know who subscribes to its room, without its text. */
export const viewOf = ({ id }: GrowingKey, record: GrowingRecord) => ({
  id,
  type: record.type,
  content_type: record.content_type,
  sender: record.producer.user_id,
  seq: lastOf(record),
  started_ms: record.started_ms,
});

/** Tells that the message has begun. */
export function tellStart(context: TellingContext, key: GrowingKey, record: GrowingRecord): void {
  tell(context, key, { op: "start", ...viewOf(key, record) });
}

/** Tells one piece. */
export function tellPiece(context: TellingContext, key: GrowingKey, { seq, text }: Piece): void {
  tell(context, key, { op: "append", id: key.id, seq, text });
}

/** Tells that it has ended, first what policies let go with its end, and where it is: absent for what was not stored. */
export function tellEnd(
  context: TellingContext,
  key: GrowingKey,
  record: GrowingRecord,
  { outcome, reason, by }: Ending,
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

function tell(context: TellingContext, { tenant_id, room_id }: GrowingKey, said: object): void {
  const beside = growingRoomOf(room_id);
  if (beside === undefined) return;
  const data = new TextEncoder().encode(JSON.stringify(said));
  const event = { type: GROWING_TYPE, data, content_type: "application/json" };
  const envelope = systemEnvelope(context, { tenant_id, room_id: beside, event });
  give(context, roomSubject("in", tenant_id, beside), envelope, undefined);
}
