/**
 * Messages between Shields and Brains as bytes: `arqon.v1.ClusterMessage` of `proto/arqon/v1/replication.proto`, whose
 * messages are the tables here, field by field. `messages.ts` defines their meaning; `cluster/wire_fields.ts` the kinds
 * of fields.
 */
import { RING_PARTS } from "../cluster/beat.ts";
import * as f from "../cluster/wire_fields.ts";
import { codecOf, message, type Part, WRITER_PART } from "../cluster/wire_fields.ts";
import { LEAVE_CAUSES, type LeaveReason } from "../records/leave_reason.ts";
import type { Announcement, ClusterMessage, Emitter, MissedStays } from "./messages.ts";
import type { RoomPosition, Stay } from "./messages.ts";
import type { Delta, WriterClock, WrittenEntry } from "./types.ts";
import { ENTRY_PART, ROOM_ENTRY_PART, ROOM_TAG_PART } from "./wire_entry.ts";

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
