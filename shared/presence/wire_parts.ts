/**
 * Reads what the messages of `replication.proto` are made of: writers, entries, deltas, clocks,
 * emitters, positions. Every id and number is checked here; whether a delta makes sense to its
 * receiver is the merge's to judge (`state.ts`).
 */
import {
  DecodeError,
  fieldName,
  type FieldNames,
  idProblem,
  isId,
  seenOnce,
  skipField,
  type WireReader,
} from "@arqon/proto";
import type { BrainState, Emitter, RoomPosition } from "./messages.ts";
import type {
  Delta,
  Entry,
  Tag,
  Writer,
  WriterClock,
  WriterState,
  WriterStatus,
  WrittenEntry,
} from "./types.ts";

/** By their number on the wire; 0 is nobody's. */
export const BRAIN_STATES: readonly (BrainState | undefined)[] = [
  undefined,
  "starting",
  "serving",
  "draining",
];
/** By their number on the wire; 0 is nobody's. */
export const WRITER_STATES: readonly (WriterState | undefined)[] = [
  undefined,
  "up",
  "down",
  "forgotten",
];

/** The most that `limits.member_meta_bytes` can be set to. */
const META_BYTES_MAX = 65_536;
/** A user id has at most 128 bytes (`shield/auth/claims.ts`); an issuer is a URL. */
const NAME_UNITS_MAX = 2_048;

const WRITER: FieldNames = ["Writer", "node_id", "incarnation"];
const CLOCK: FieldNames = ["WriterClock", "writer", "clock"];
const STATUS: FieldNames = ["WriterStatus", "writer", "clock", "state"];
const ENTRY: FieldNames = [
  "PresenceEntry",
  "counter",
  "tenant_id",
  "room_id",
  "connection_id",
  "user_id",
  "issuer",
  "meta",
  "joined_ms",
  "changed_ms",
];
const DELTA: FieldNames = ["PresenceDelta", "writer", "start", "end", "entries", "removed"];
const EMITTER: FieldNames = ["Emitter", "brain_id", "boot", "term"];
const ROOM_ENTRY: FieldNames = ["RoomEntry", "writer", "entry"];
const ROOM_TAG: FieldNames = ["RoomTag", "writer", "counter"];
const POSITION: FieldNames = ["RoomPosition", "tenant_id", "room_id", "emitter", "sequence"];

/**
 * The last values of one message. Thousands of entries in one mostly share writer, tenant, room and
 * issuer: they get the same string, which is checked and kept in memory once.
 */
export interface Shared {
  writer: Writer;
  tenant_id: string;
  room_id: string;
  issuer: string;
}

/** For a message that begins. */
export function nothingShared(): Shared {
  return { writer: { node_id: "", incarnation: 0 }, tenant_id: "", room_id: "", issuer: "" };
}

/** The error of a field whose value the contract does not allow. */
export function invalid(field: number, names: FieldNames, problem: string): DecodeError {
  return new DecodeError("invalid-field", `${fieldName(field, names)}: ${problem}`);
}

/** Throws `invalid-field` unless `id` is one. */
export function checkId(id: string, field: number, names: FieldNames): void {
  if (!isId(id)) throw invalid(field, names, idProblem(id) ?? "not an id");
}

/** A field that must be there. */
export function required<Value>(
  value: Value | undefined,
  field: number,
  names: FieldNames,
): Value {
  if (value === undefined) throw invalid(field, names, "it is missing");
  return value;
}

/** A uint64 up to 2^53-1. */
export function readCount(reader: WireReader, field: number, names: FieldNames): number {
  const value = reader.uint64();
  if (typeof value === "bigint") throw invalid(field, names, "an integer beyond 2^53");
  return value;
}

/** Unix ms. */
function readTime(reader: WireReader, field: number, names: FieldNames): number {
  const value = reader.int64();
  if (value < 0) throw invalid(field, names, "a time before 1970");
  return value;
}

/** Each case of the readers below is `field << 3 | wire type`. */
export function readWriter(reader: WireReader, shared: Shared): Writer {
  let node_id = "", incarnation = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, WRITER);
    if (tag === 0x0a) node_id = reader.text();
    else if (tag === 0x10) incarnation = readCount(reader, 2, WRITER);
    else skipField(reader, tag, WRITER);
  }
  const last = shared.writer;
  if (last.node_id === node_id && last.incarnation === incarnation && node_id !== "") return last;
  checkId(node_id, 1, WRITER);
  return shared.writer = { node_id, incarnation };
}

/** A writer's clock. */
export function readClock(reader: WireReader, shared: Shared): WriterClock {
  let writer: Writer | undefined, clock = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, CLOCK);
    if (tag === 0x0a) writer = reader.embedded(readWriter, shared);
    else if (tag === 0x10) clock = readCount(reader, 2, CLOCK);
    else skipField(reader, tag, CLOCK);
  }
  return { writer: required(writer, 1, CLOCK), clock };
}

/** A clock, and how its writer is. */
export function readStatus(reader: WireReader, shared: Shared): WriterStatus {
  let writer: Writer | undefined, clock = 0, state = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, STATUS);
    if (tag === 0x0a) writer = reader.embedded(readWriter, shared);
    else if (tag === 0x10) clock = readCount(reader, 2, STATUS);
    else if (tag === 0x18) state = reader.uint32();
    else skipField(reader, tag, STATUS);
  }
  const named = WRITER_STATES[state];
  if (named === undefined) throw invalid(3, STATUS, `there is no state ${state}`);
  return { writer: required(writer, 1, STATUS), clock, state: named };
}

/** JSON text; not parsed here, for its Shield has. */
function readMeta(reader: WireReader): string {
  const start = reader.pos;
  const size = reader.length();
  if (size > META_BYTES_MAX) {
    throw invalid(7, ENTRY, `${size} bytes; at most ${META_BYTES_MAX} are allowed`);
  }
  reader.pos = start;
  return reader.text();
}

function checkName(name: string, field: number): void {
  if (name === "") throw invalid(field, ENTRY, "it is missing");
  if (name.length > NAME_UNITS_MAX) {
    throw invalid(field, ENTRY, `${name.length} characters; at most ${NAME_UNITS_MAX} are allowed`);
  }
}

type Draft = { -readonly [Key in keyof Entry]: Entry[Key] };

/** A member. */
function readEntry(reader: WireReader, shared: Shared): Entry {
  const entry: Draft = {
    counter: 0,
    tenant_id: "",
    room_id: "",
    connection_id: "",
    user_id: "",
    issuer: "",
    meta: "",
    joined_ms: 0,
    changed_ms: 0,
  };
  let seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, ENTRY);
    if (tag === 0x08) entry.counter = readCount(reader, 1, ENTRY);
    else if (tag === 0x12) entry.tenant_id = reader.text();
    else if (tag === 0x1a) entry.room_id = reader.text();
    else if (tag === 0x22) entry.connection_id = reader.text();
    else if (tag === 0x2a) entry.user_id = reader.text();
    else if (tag === 0x32) entry.issuer = reader.text();
    else if (tag === 0x3a) entry.meta = readMeta(reader);
    else if (tag === 0x40) entry.joined_ms = readTime(reader, 8, ENTRY);
    else if (tag === 0x48) entry.changed_ms = readTime(reader, 9, ENTRY);
    else skipField(reader, tag, ENTRY);
  }
  checkEntry(entry, shared);
  return entry;
}

/** What equals the entry before it was checked with that one, and becomes the same string. */
function checkEntry(entry: Draft, shared: Shared): void {
  if (entry.counter === 0) throw invalid(1, ENTRY, "it is missing");
  if (entry.tenant_id !== shared.tenant_id || entry.tenant_id === "") {
    checkId(entry.tenant_id, 2, ENTRY);
    shared.tenant_id = entry.tenant_id;
  } else {
    entry.tenant_id = shared.tenant_id;
  }
  if (entry.room_id !== shared.room_id || entry.room_id === "") {
    checkId(entry.room_id, 3, ENTRY);
    shared.room_id = entry.room_id;
  } else {
    entry.room_id = shared.room_id;
  }
  checkId(entry.connection_id, 4, ENTRY);
  checkName(entry.user_id, 5);
  if (entry.issuer !== shared.issuer || entry.issuer === "") {
    checkName(entry.issuer, 6);
    shared.issuer = entry.issuer;
  } else {
    entry.issuer = shared.issuer;
  }
}

/** What a writer did. Throws `invalid-field` when it ends before it starts. */
export function readDelta(reader: WireReader, shared: Shared): Delta {
  let writer: Writer | undefined, start = 0, end = 0, seen = 0;
  const entries: Entry[] = [];
  const removed: number[] = [];
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    // A repeated number may come packed or one by one: Protobuf has readers take both.
    if (tag === 0x22) entries.push(reader.embedded(readEntry, shared));
    else if (tag === 0x2a) reader.embedded(readRemoved, removed);
    else if (tag === 0x28) removed.push(readCount(reader, 5, DELTA));
    else {
      seen = seenOnce(seen, tag, DELTA);
      if (tag === 0x0a) writer = reader.embedded(readWriter, shared);
      else if (tag === 0x10) start = readCount(reader, 2, DELTA);
      else if (tag === 0x18) end = readCount(reader, 3, DELTA);
      else skipField(reader, tag, DELTA);
    }
  }
  if (start > end) throw invalid(3, DELTA, `${end}, which is before its start ${start}`);
  return { writer: required(writer, 1, DELTA), start, end, entries, removed };
}

function readRemoved(reader: WireReader, removed: number[]): void {
  while (reader.pos < reader.end) removed.push(readCount(reader, 5, DELTA));
}

/** Who speaks for a room. */
export function readEmitter(reader: WireReader): Emitter {
  let brain_id = "", boot = 0, term = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, EMITTER);
    if (tag === 0x0a) brain_id = reader.text();
    else if (tag === 0x10) boot = readCount(reader, 2, EMITTER);
    else if (tag === 0x18) term = readCount(reader, 3, EMITTER);
    else skipField(reader, tag, EMITTER);
  }
  checkId(brain_id, 1, EMITTER);
  return { brain_id, boot, term };
}

/** An entry and whose it is. */
export function readRoomEntry(reader: WireReader, shared: Shared): WrittenEntry {
  let writer: Writer | undefined, entry: Entry | undefined, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, ROOM_ENTRY);
    if (tag === 0x0a) writer = reader.embedded(readWriter, shared);
    else if (tag === 0x12) entry = reader.embedded(readEntry, shared);
    else skipField(reader, tag, ROOM_ENTRY);
  }
  return { writer: required(writer, 1, ROOM_ENTRY), entry: required(entry, 2, ROOM_ENTRY) };
}

/** A birth mark. */
export function readRoomTag(reader: WireReader, shared: Shared): Tag {
  let writer: Writer | undefined, counter = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, ROOM_TAG);
    if (tag === 0x0a) writer = reader.embedded(readWriter, shared);
    else if (tag === 0x10) counter = readCount(reader, 2, ROOM_TAG);
    else skipField(reader, tag, ROOM_TAG);
  }
  if (counter === 0) throw invalid(2, ROOM_TAG, "it is missing");
  return { writer: required(writer, 1, ROOM_TAG), counter };
}

/** Where somebody is in a room. */
export function readPosition(reader: WireReader): RoomPosition {
  let tenant_id = "", room_id = "", emitter: Emitter | undefined, sequence = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, POSITION);
    if (tag === 0x0a) tenant_id = reader.text();
    else if (tag === 0x12) room_id = reader.text();
    else if (tag === 0x1a) emitter = reader.embedded(readEmitter);
    else if (tag === 0x20) sequence = readCount(reader, 4, POSITION);
    else skipField(reader, tag, POSITION);
  }
  checkId(tenant_id, 1, POSITION);
  checkId(room_id, 2, POSITION);
  return { tenant_id, room_id, emitter, sequence };
}
