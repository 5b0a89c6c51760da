/**
 * Messages between Shields and Brains as bytes: `arqon.v1.ClusterMessage` of `proto/arqon/v1/replication.proto`, whose
 * messages are the tables here, field by field. `messages.ts` defines their meaning; `cluster/wire_fields.ts` the kinds
 * of fields.
 */
import { RING_PARTS } from "../cluster/beat.ts";
import * as f from "../cluster/wire_fields.ts";
import {
  checkId,
  codecOf,
  invalid,
  message,
  readCount,
  WRITER_PART,
  writeTo,
} from "../cluster/wire_fields.ts";
import type { Part, Shared } from "../cluster/wire_fields.ts";
import { LEAVE_CAUSES, type LeaveReason } from "../records/leave_reason.ts";
import type {
  Announcement,
  ClusterMessage,
  Emitter,
  MissedStays,
  RoomPosition,
  Stay,
} from "./messages.ts";
import type { Delta, Entry, Tag, Writer, WriterClock, WrittenEntry } from "./types.ts";
import { seenOnce, skipField } from "@arqon/proto";
import type { FieldNames, WireReader, WireWriter } from "@arqon/proto";

// Entries and birth marks, thousands of which are in one message, are encoded and decoded by hand: a table takes
// twice as long.

/** The maximum of `limits.member_meta_bytes`. */
const META_BYTES_MAX = 65_536;
/** A user id has at most 128 bytes (`shield/auth/claims.ts`); an issuer is a URL. */
const NAME_UNITS_MAX = 2_048;

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

const ROOM_ENTRY: FieldNames = ["RoomEntry", "writer", "entry"];
const ROOM_TAG: FieldNames = ["RoomTag", "writer", "counter"];

/** Unix ms. */
function readTime(reader: WireReader, field: number): number {
  const value = reader.int64();
  if (value < 0) throw invalid(field, ENTRY, "a time before 1970");
  return value;
}

/** JSON text; its Shield has parsed it, so it is not parsed here. */
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
    else if (tag === 0x40) entry.joined_ms = readTime(reader, 8);
    else if (tag === 0x48) entry.changed_ms = readTime(reader, 9);
    else skipField(reader, tag, ENTRY);
  }
  checkEntry(entry, shared);
  return entry;
}

/** Fields equal to those of the previous entry were checked with that one, and become the same string. */
function checkEntry(entry: Draft, shared: Shared): void {
  if (entry.counter === 0) throw invalid(1, ENTRY, "it is missing");
  if (entry.tenant_id !== shared.tenant_id || entry.tenant_id === "") {
    checkId(entry.tenant_id, 2, ENTRY);
    shared.tenant_id = entry.tenant_id;
  } else entry.tenant_id = shared.tenant_id;
  if (entry.room_id !== shared.room_id || entry.room_id === "") {
    checkId(entry.room_id, 3, ENTRY);
    shared.room_id = entry.room_id;
  } else entry.room_id = shared.room_id;
  checkId(entry.connection_id, 4, ENTRY);
  checkName(entry.user_id, 5);
  if (entry.issuer !== shared.issuer || entry.issuer === "") {
    checkName(entry.issuer, 6);
    shared.issuer = entry.issuer;
  } else entry.issuer = shared.issuer;
}

/** Throws if a required field is missing. */
function required<Value>(value: Value | undefined, field: number, names: FieldNames): Value {
  if (value === undefined) throw invalid(field, names, "it is missing");
  return value;
}

function readRoomEntry(reader: WireReader, shared: Shared): WrittenEntry {
  let writer: Writer | undefined, entry: Entry | undefined, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, ROOM_ENTRY);
    if (tag === 0x0a) writer = reader.embedded(WRITER_PART.read, shared);
    else if (tag === 0x12) entry = reader.embedded(readEntry, shared);
    else skipField(reader, tag, ROOM_ENTRY);
  }
  return { writer: required(writer, 1, ROOM_ENTRY), entry: required(entry, 2, ROOM_ENTRY) };
}

function readRoomTag(reader: WireReader, shared: Shared): Tag {
  let writer: Writer | undefined, counter = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, ROOM_TAG);
    if (tag === 0x0a) writer = reader.embedded(WRITER_PART.read, shared);
    else if (tag === 0x10) counter = readCount(reader, 2, ROOM_TAG);
    else skipField(reader, tag, ROOM_TAG);
  }
  if (counter === 0) throw invalid(2, ROOM_TAG, "it is missing");
  return { writer: required(writer, 1, ROOM_TAG), counter };
}

/** A member as bytes. */
const ENTRY_PART = {
  read: readEntry,
  write(out: WireWriter, entry: Entry): void {
    out.uint64(1, entry.counter);
    out.text(2, entry.tenant_id);
    out.text(3, entry.room_id);
    out.text(4, entry.connection_id);
    out.text(5, entry.user_id);
    out.text(6, entry.issuer);
    out.text(7, entry.meta);
    out.int64(8, entry.joined_ms);
    out.int64(9, entry.changed_ms);
  },
};

/** An entry with its writer, as bytes. */
const ROOM_ENTRY_PART = {
  read: readRoomEntry,
  write(out: WireWriter, { writer, entry }: WrittenEntry): void {
    writeTo(out, 1, WRITER_PART, writer);
    writeTo(out, 2, ENTRY_PART, entry);
  },
};

/** A birth mark as bytes. */
const ROOM_TAG_PART = {
  read: readRoomTag,
  write(out: WireWriter, { writer, counter }: Tag): void {
    writeTo(out, 1, WRITER_PART, writer);
    out.uint64(2, counter);
  },
};

/** A cause of a later version is unknown here. */
const CAUSE: f.Field<LeaveReason> = f.word(LEAVE_CAUSES, "unknown");

const CLOCK = message<WriterClock>("WriterClock", { writer: f.one(WRITER_PART), clock: f.count });
const DELTA = message<Delta>("PresenceDelta", {
  writer: f.one(WRITER_PART),
  start: f.count,
  end: {
    ...f.count,
    judge(end, fail, message) {
      const { start } = message as Delta;
      return start > end ? fail(`${end}, which is before its start ${start}`) : end;
    },
  },
  entries: f.many(ENTRY_PART),
  removed: f.counts,
});
const EMITTER = message<Emitter>("Emitter", { brain_id: f.id, boot: f.count, term: f.count });
const POSITION = message<RoomPosition>("RoomPosition", {
  tenant_id: f.id,
  room_id: f.id,
  emitter: f.maybe(EMITTER),
  sequence: f.count,
});
const MISSED = message<MissedStays>("MissedStays", {
  tenant_id: f.id,
  room_id: f.id,
  count: f.count,
  from_ms: f.count,
  to_ms: f.count,
});
const STAY: Part<Stay> = f.mapped(
  message<{ member: WrittenEntry; cause: LeaveReason }>("Stay", {
    member: f.one(ROOM_ENTRY_PART),
    cause: CAUSE,
  }),
  ({ member, cause }) => ({ ...member, cause }),
  ({ cause, ...member }) => ({ member, cause }),
);
const REASON = message<{ counter: number; cause: LeaveReason }>("LeaveReason", {
  counter: f.count,
  cause: CAUSE,
});
const REASONS: f.Field<Announcement["reasons"]> = {
  types: f.BYTES,
  is_many: true,
  read(reader, shared, before) {
    const { counter, cause } = reader.embedded(REASON.read, shared);
    return ((before ?? new Map()) as Map<number, LeaveReason>).set(counter, cause);
  },
  write(out, field, reasons = new Map()) {
    for (const [counter, cause] of reasons) f.writeTo(out, field, REASON, { counter, cause });
  },
};

type Body<Kind> = Omit<Extract<ClusterMessage, { readonly kind: Kind }>, "kind">;
type WirePulled = Body<"pulled"> & { readonly unknown: boolean };

const PULLED = message<WirePulled>("Pulled", {
  request: f.count,
  page: f.page,
  pages: f.number,
  full: f.flag,
  unknown: {
    ...f.flag,
    judge(unknown, fail, message) {
      const has_delta = (message as WirePulled).delta !== undefined;
      return unknown && has_delta ? fail("true, and yet there is a delta") : unknown;
    },
  },
  delta: {
    ...f.maybe(DELTA),
    judge(delta, fail, message) {
      return delta ?? ((message as WirePulled).unknown ? undefined : fail("it is missing"));
    },
  },
});

/** The kinds in the order of their field numbers. */
const KINDS: { readonly [Kind in ClusterMessage["kind"]]: Part<Body<Kind>> } = {
  announcement: message<Body<"announcement">>("Announcement", {
    delta: f.one(DELTA),
    leaving: f.flag,
    reasons: REASONS,
  }),
  beat: RING_PARTS.beat,
  pull: message("Pull", {
    from: f.id,
    request: f.count,
    writer: f.one(WRITER_PART),
    clock: f.count,
  }),
  pulled: f.mapped(
    PULLED,
    ({ unknown: _unknown, ...pulled }) => pulled,
    (pulled) => ({ ...pulled, unknown: pulled.delta === undefined }),
  ),
  room_update: message("RoomUpdate", {
    emitter: f.one(EMITTER),
    sequence: f.count,
    tenant_id: f.id,
    room_id: f.id,
    joins: f.many(ROOM_ENTRY_PART),
    leaves: f.many(ROOM_TAG_PART),
    clocks: f.many(CLOCK),
  }),
  room_pull: message("RoomPull", { from: f.id, request: f.count, tenant_id: f.id, room_id: f.id }),
  room_snapshot: message("RoomSnapshot", {
    request: f.count,
    page: f.page,
    pages: f.number,
    emitter: f.one(EMITTER),
    sequence: f.count,
    tenant_id: f.id,
    room_id: f.id,
    entries: f.many(ROOM_ENTRY_PART),
    clocks: f.many(CLOCK),
  }),
  room_check: message("RoomCheck", { from: f.id, request: f.count, rooms: f.many(POSITION) }),
  room_differs: message("RoomDiffers", { request: f.count, rooms: f.many(POSITION) }),
  hello: RING_PARTS.hello,
  stays: message("Stays", { stays: f.many(STAY), missed: f.many(MISSED) }),
  stays_written: message("StaysWritten", { stays: f.many(ROOM_TAG_PART), missed: f.many(MISSED) }),
};
const NAMES = ["ClusterMessage", ...Object.keys(KINDS)];

/** Each message as bytes, and back. */
export const { encode: encodeMessage, decode: decodeMessage } = codecOf<ClusterMessage>(
  NAMES,
  KINDS,
);
