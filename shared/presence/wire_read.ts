/**
 * Reads each kind of `ClusterMessage` out of its own bytes. Which kind it is on the wire is
 * `wire.ts`, writing is `wire_write.ts`.
 */
import { type FieldNames, seenOnce, skipField, type WireReader } from "@arqon/proto";
import { LEAVE_CAUSES } from "../records/leave_reason.ts";
import type { LeaveReason } from "../records/leave_reason.ts";
import type {
  Announcement,
  Beat,
  Emitter,
  Hello,
  Pull,
  Pulled,
  RoomCheck,
  RoomDiffers,
  RoomPosition,
  RoomPull,
  RoomSnapshot,
  RoomUpdate,
} from "./messages.ts";
import type { Delta, Tag, Writer, WriterClock, WriterStatus, WrittenEntry } from "./types.ts";
import {
  BRAIN_STATES,
  checkId,
  invalid,
  readClock,
  readCount,
  readDelta,
  readEmitter,
  readPosition,
  readRoomEntry,
  readRoomTag,
  readStatus,
  readWriter,
  required,
  type Shared,
} from "./wire_parts.ts";

const ANNOUNCEMENT: FieldNames = ["Announcement", "delta", "leaving", "reasons"];
const REASON: FieldNames = ["LeaveReason", "counter", "cause"];
const BEAT: FieldNames = ["Beat", "brain_id", "boot", "state", "writers", "classes_hash"];
const PULL: FieldNames = ["Pull", "from", "request", "writer", "clock"];
const PULLED: FieldNames = ["Pulled", "request", "page", "pages", "full", "unknown", "delta"];
const ROOM_UPDATE: FieldNames = [
  "RoomUpdate",
  "emitter",
  "sequence",
  "tenant_id",
  "room_id",
  "joins",
  "leaves",
  "clocks",
];
const ROOM_PULL: FieldNames = ["RoomPull", "from", "request", "tenant_id", "room_id"];
const ROOM_SNAPSHOT: FieldNames = [
  "RoomSnapshot",
  "request",
  "page",
  "pages",
  "emitter",
  "sequence",
  "tenant_id",
  "room_id",
  "entries",
  "clocks",
];
const ROOM_CHECK: FieldNames = ["RoomCheck", "from", "request", "rooms"];
const ROOM_DIFFERS: FieldNames = ["RoomDiffers", "request", "rooms"];
const HELLO: FieldNames = ["Hello", "from"];

function checkPage(page: number, pages: number, names: FieldNames): void {
  if (page >= pages) throw invalid(2, names, `page ${page} of ${pages}, counted from 0`);
}

/** Each case of the readers here is `field << 3 | wire type`. */
export function readAnnouncement(reader: WireReader, shared: Shared): Announcement {
  let delta: Delta | undefined, leaving = false, seen = 0;
  let reasons: Map<number, LeaveReason> | undefined;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x1a) {
      reader.embedded(readReason, reasons ??= new Map<number, LeaveReason>());
      continue;
    }
    seen = seenOnce(seen, tag, ANNOUNCEMENT);
    if (tag === 0x0a) delta = reader.embedded(readDelta, shared);
    else if (tag === 0x10) leaving = reader.bool();
    else skipField(reader, tag, ANNOUNCEMENT);
  }
  const whole = required(delta, 1, ANNOUNCEMENT);
  return { kind: "announcement", delta: whole, leaving, ...(reasons && { reasons }) };
}

/** A cause that a later version knows is none that is known here. */
function readReason(reader: WireReader, reasons: Map<number, LeaveReason>): void {
  let counter = 0, cause = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, REASON);
    if (tag === 0x08) counter = readCount(reader, 1, REASON);
    else if (tag === 0x10) cause = reader.uint32();
    else skipField(reader, tag, REASON);
  }
  reasons.set(counter, LEAVE_CAUSES[cause] ?? "unknown");
}

/** Reads a Brain's beat: that it lives, and how far it has come. */
export function readBeat(reader: WireReader, shared: Shared): Beat {
  let brain_id = "", boot = 0, state = 0, classes_hash = 0, seen = 0;
  const writers: WriterStatus[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x22) {
      writers.push(reader.embedded(readStatus, shared));
      continue;
    }
    seen = seenOnce(seen, tag, BEAT);
    if (tag === 0x0a) brain_id = reader.text();
    else if (tag === 0x10) boot = readCount(reader, 2, BEAT);
    else if (tag === 0x18) state = reader.uint32();
    else if (tag === 0x28) classes_hash = reader.uint32();
    else skipField(reader, tag, BEAT);
  }
  checkId(brain_id, 1, BEAT);
  const named = BRAIN_STATES[state];
  if (named === undefined) throw invalid(3, BEAT, `there is no state ${state}`);
  const more = classes_hash === 0 ? {} : { classes_hash };
  return { kind: "beat", brain_id, boot, state: named, writers, ...more };
}

/** Reads the question what a writer did after a clock. */
export function readPull(reader: WireReader, shared: Shared): Pull {
  let from = "", request = 0, writer: Writer | undefined, clock = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, PULL);
    if (tag === 0x0a) from = reader.text();
    else if (tag === 0x10) request = readCount(reader, 2, PULL);
    else if (tag === 0x1a) writer = reader.embedded(readWriter, shared);
    else if (tag === 0x20) clock = readCount(reader, 4, PULL);
    else skipField(reader, tag, PULL);
  }
  checkId(from, 1, PULL);
  return { kind: "pull", from, request, writer: required(writer, 3, PULL), clock };
}

/** Throws `invalid-field` for a page with both a delta and `unknown`, or with neither. */
export function readPulled(reader: WireReader, shared: Shared): Pulled {
  let request = 0, page = 0, pages = 0, full = false, unknown = false, seen = 0;
  let delta: Delta | undefined;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, PULLED);
    if (tag === 0x08) request = readCount(reader, 1, PULLED);
    else if (tag === 0x10) page = reader.uint32();
    else if (tag === 0x18) pages = reader.uint32();
    else if (tag === 0x20) full = reader.bool();
    else if (tag === 0x28) unknown = reader.bool();
    else if (tag === 0x32) delta = reader.embedded(readDelta, shared);
    else skipField(reader, tag, PULLED);
  }
  checkPage(page, pages, PULLED);
  if (!unknown) required(delta, 6, PULLED);
  else if (delta !== undefined) throw invalid(5, PULLED, "true, and yet there is a delta");
  return { kind: "pulled", request, page, pages, full, delta };
}

/** Reads what happened in a room. */
export function readRoomUpdate(reader: WireReader, shared: Shared): RoomUpdate {
  let emitter: Emitter | undefined, sequence = 0, tenant_id = "", room_id = "", seen = 0;
  const joins: WrittenEntry[] = [], leaves: Tag[] = [], clocks: WriterClock[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x2a) joins.push(reader.embedded(readRoomEntry, shared));
    else if (tag === 0x32) leaves.push(reader.embedded(readRoomTag, shared));
    else if (tag === 0x3a) clocks.push(reader.embedded(readClock, shared));
    else {
      seen = seenOnce(seen, tag, ROOM_UPDATE);
      if (tag === 0x0a) emitter = reader.embedded(readEmitter);
      else if (tag === 0x10) sequence = readCount(reader, 2, ROOM_UPDATE);
      else if (tag === 0x1a) tenant_id = reader.text();
      else if (tag === 0x22) room_id = reader.text();
      else skipField(reader, tag, ROOM_UPDATE);
    }
  }
  checkId(tenant_id, 3, ROOM_UPDATE);
  checkId(room_id, 4, ROOM_UPDATE);
  return {
    kind: "room_update",
    emitter: required(emitter, 1, ROOM_UPDATE),
    sequence,
    tenant_id,
    room_id,
    joins,
    leaves,
    clocks,
  };
}

/** Reads the question who is in a room. */
export function readRoomPull(reader: WireReader): RoomPull {
  let from = "", request = 0, tenant_id = "", room_id = "", seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, ROOM_PULL);
    if (tag === 0x0a) from = reader.text();
    else if (tag === 0x10) request = readCount(reader, 2, ROOM_PULL);
    else if (tag === 0x1a) tenant_id = reader.text();
    else if (tag === 0x22) room_id = reader.text();
    else skipField(reader, tag, ROOM_PULL);
  }
  checkId(from, 1, ROOM_PULL);
  checkId(tenant_id, 3, ROOM_PULL);
  checkId(room_id, 4, ROOM_PULL);
  return { kind: "room_pull", from, request, tenant_id, room_id };
}

/** Reads a page of the answer. */
export function readRoomSnapshot(reader: WireReader, shared: Shared): RoomSnapshot {
  let request = 0, page = 0, pages = 0, sequence = 0, tenant_id = "", room_id = "", seen = 0;
  let emitter: Emitter | undefined;
  const entries: WrittenEntry[] = [], clocks: WriterClock[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x42) entries.push(reader.embedded(readRoomEntry, shared));
    else if (tag === 0x4a) clocks.push(reader.embedded(readClock, shared));
    else {
      seen = seenOnce(seen, tag, ROOM_SNAPSHOT);
      if (tag === 0x08) request = readCount(reader, 1, ROOM_SNAPSHOT);
      else if (tag === 0x10) page = reader.uint32();
      else if (tag === 0x18) pages = reader.uint32();
      else if (tag === 0x22) emitter = reader.embedded(readEmitter);
      else if (tag === 0x28) sequence = readCount(reader, 5, ROOM_SNAPSHOT);
      else if (tag === 0x32) tenant_id = reader.text();
      else if (tag === 0x3a) room_id = reader.text();
      else skipField(reader, tag, ROOM_SNAPSHOT);
    }
  }
  checkPage(page, pages, ROOM_SNAPSHOT);
  checkId(tenant_id, 6, ROOM_SNAPSHOT);
  checkId(room_id, 7, ROOM_SNAPSHOT);
  return {
    kind: "room_snapshot",
    request,
    page,
    pages,
    emitter: required(emitter, 4, ROOM_SNAPSHOT),
    sequence,
    tenant_id,
    room_id,
    entries,
    clocks,
  };
}

/** Reads the question which rooms have moved on. */
export function readRoomCheck(reader: WireReader): RoomCheck {
  let from = "", request = 0, seen = 0;
  const rooms: RoomPosition[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x1a) {
      rooms.push(reader.embedded(readPosition));
      continue;
    }
    seen = seenOnce(seen, tag, ROOM_CHECK);
    if (tag === 0x0a) from = reader.text();
    else if (tag === 0x10) request = readCount(reader, 2, ROOM_CHECK);
    else skipField(reader, tag, ROOM_CHECK);
  }
  checkId(from, 1, ROOM_CHECK);
  return { kind: "room_check", from, request, rooms };
}

/** Reads the answer: the rooms that have moved on. */
export function readRoomDiffers(reader: WireReader): RoomDiffers {
  let request = 0, seen = 0;
  const rooms: RoomPosition[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === 0x12) {
      rooms.push(reader.embedded(readPosition));
      continue;
    }
    seen = seenOnce(seen, tag, ROOM_DIFFERS);
    if (tag === 0x08) request = readCount(reader, 1, ROOM_DIFFERS);
    else skipField(reader, tag, ROOM_DIFFERS);
  }
  return { kind: "room_differs", request, rooms };
}

/** Reads the question how everybody stands. */
export function readHello(reader: WireReader): Hello {
  let from = "", seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, HELLO);
    if (tag === 0x0a) from = reader.text();
    else skipField(reader, tag, HELLO);
  }
  checkId(from, 1, HELLO);
  return { kind: "hello", from };
}
