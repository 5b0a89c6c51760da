/**
 * Reads who has left and may not be in a room's journal of members, and the answer. Which kind a message is on the
 * wire is `wire.ts`, the other kinds are `wire_read.ts`.
 */
import { type FieldNames, seenOnce, skipField, type WireReader } from "@arqon/proto";
import { LEAVE_CAUSES } from "../records/leave_reason.ts";
import type { MissedStays, Stay, Stays, StaysWritten } from "./messages.ts";
import type { Tag, WrittenEntry } from "./types.ts";
import { checkId, readCount, readRoomEntry, readRoomTag, required } from "./wire_parts.ts";
import type { Shared } from "./wire_parts.ts";

const STAY: FieldNames = ["Stay", "member", "cause"];
const MISSED: FieldNames = ["MissedStays", "tenant_id", "room_id", "count", "from_ms", "to_ms"];
const STAYS: FieldNames = ["Stays", "stays", "missed"];
const WRITTEN: FieldNames = ["StaysWritten", "stays", "missed"];

/** Each case of the readers here is `field << 3 | wire type`. A cause of a later version is none known here. */
function readStay(reader: WireReader, shared: Shared): Stay {
  let member: WrittenEntry | undefined, cause = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, STAY);
    if (tag === 0x0a) member = reader.embedded(readRoomEntry, shared);
    else if (tag === 0x10) cause = reader.uint32();
    else skipField(reader, tag, STAY);
  }
  return { ...required(member, 1, STAY), cause: LEAVE_CAUSES[cause] ?? "unknown" };
}

function readMissed(reader: WireReader): MissedStays {
  let tenant_id = "", room_id = "", count = 0, from_ms = 0, to_ms = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, MISSED);
    if (tag === 0x0a) tenant_id = reader.text();
    else if (tag === 0x12) room_id = reader.text();
    else if (tag === 0x18) count = readCount(reader, 3, MISSED);
    else if (tag === 0x20) from_ms = readCount(reader, 4, MISSED);
    else if (tag === 0x28) to_ms = readCount(reader, 5, MISSED);
    else skipField(reader, tag, MISSED);
  }
  checkId(tenant_id, 1, MISSED);
  checkId(room_id, 2, MISSED);
  return { tenant_id, room_id, count, from_ms, to_ms };
}

/** Reads who has left and may not be in a journal. */
export function readStays(reader: WireReader, shared: Shared): Stays {
  const stays: Stay[] = [];
  const missed: MissedStays[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x0a) stays.push(reader.embedded(readStay, shared));
    else if (tag === 0x12) missed.push(reader.embedded(readMissed));
    else skipField(reader, tag, STAYS);
  }
  return { kind: "stays", stays, missed };
}

/** Reads the answer: what is there. */
export function readStaysWritten(reader: WireReader, shared: Shared): StaysWritten {
  const stays: Tag[] = [];
  const missed: MissedStays[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x0a) stays.push(reader.embedded(readRoomTag, shared));
    else if (tag === 0x12) missed.push(reader.embedded(readMissed));
    else skipField(reader, tag, WRITTEN);
  }
  return { kind: "stays_written", stays, missed };
}
