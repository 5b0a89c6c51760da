/** What Shields and Brains report about one room. Strict and bounded: anything on NATS may write it. */
import { isId } from "@arqon/proto";
import { z } from "zod";

/** The most members of one room in an answer. */
export const ROOM_MEMBERS_MAX = 1_000;
/** The most bytes of the members' metadata in an answer. */
export const ROOM_META_BYTES = 2_097_152;

const Id = z.string().refine(isId);
const Count = z.number().min(0);

/** One member; members are in the order of their joins. */
export const RoomMember = z.strictObject({
  connection_id: Id,
  user_id: z.string().max(256),
  /** The member's metadata as JSON. */
  meta: z.unknown(),
  joined_ms: z.number(),
});
export type RoomMember = z.output<typeof RoomMember>;

/** The question about one room. */
export const RoomQuestion = z.strictObject({ tenant: Id, room: Id });

/**
 * The answer about one room: a Shield's subscribers, or the members from the owning Brain; null
 * from Brains that do not own the room.
 */
export const RoomAnswer = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("shield"), subscribers: Count, messages: Count }),
  z.strictObject({
    kind: z.literal("brain"),
    members: z.array(RoomMember).max(ROOM_MEMBERS_MAX),
    member_count: Count,
    user_count: Count,
    /** The version of the room's state; absent while it has none. */
    version: Count.optional(),
  }),
]).nullable();
/** What one process reports about a room. */
export type RoomAnswer = z.output<typeof RoomAnswer>;

/** The most cut off rooms in an answer. */
export const CUT_OFF_MAX = 1_000;

/** The question for the rooms of a tenant whose reducers keep failing. */
export const CutOffQuestion = z.strictObject({ tenant: Id });

/** A room that is cut off because its reducer keeps failing. */
export const CutOffRoom = z.strictObject({
  room_id: Id,
  /** Hex SHA-256. */
  module: z.string().max(64),
  /** Unix ms. */
  since_ms: z.number(),
  /** When the next call or timer is allowed, Unix ms; in the past if there was no call since. */
  until_ms: z.number(),
  /** The last fault. */
  fault: z.strictObject({
    /** The entry of the room's log, and its time, Unix ms by the room's clock. */
    entry: Count,
    at_ms: z.number(),
    reason: z.string().max(64),
    detail: z.string().max(1_024),
  }),
});
export type CutOffRoom = z.output<typeof CutOffRoom>;

/** One Brain's report of its cut off rooms. */
export const CutOffAnswer = z.strictObject({
  rooms: z.array(CutOffRoom).max(CUT_OFF_MAX),
  total: Count,
});
/** What one Brain reports about rooms that are cut off. */
export type CutOffAnswer = z.output<typeof CutOffAnswer>;

/** The most keys of a room's state in an answer. */
export const ROOM_KEYS_MAX = 1_000;
/** Longest key, in UTF-16 units; `limits.field_bytes` may be so large. */
const KEY_UNITS_MAX = 65_536;
/** Longest value as JSON, in UTF-16 units; `brain.state_bytes` is less. */
const VALUE_UNITS_MAX = 786_432;

const Key = z.string().max(KEY_UNITS_MAX);

/** The question for the state of a room: all keys without their values, or one key with its value. */
export const StateQuestion = RoomQuestion.extend({ key: Key.optional() });

/** The present lock. */
export const RoomLock = z.strictObject({
  user_id: z.string().max(256),
  /** The holder's connection; "" without one. */
  connection_id: z.string().max(64),
  /** When the lock was granted or last extended, Unix ms. */
  since_ms: z.number(),
  /** When the lease ends, Unix ms. */
  until_ms: z.number(),
  fence: Count,
});

/** A key of a room's state. */
export const RoomStateKey = z.strictObject({
  key: Key,
  /** Size of the value as JSON. */
  size_bytes: Count,
  /** The room's version when the key was last written; absent: longer ago than the room's stored events. */
  version: Count.optional(),
});

/** What the owning Brain reports about a room's state; null from the others. */
export const StateAnswer = z.strictObject({
  /** The state; absent: the room has none. */
  document: z.strictObject({
    version: Count,
    epoch: z.string().max(64),
    /** When the room was created, Unix ms; 0: unknown. */
    created_ms: z.number(),
    lock: RoomLock.optional(),
    /** The keys in the order of their first write; none if one key was requested. */
    keys: z.array(RoomStateKey).max(ROOM_KEYS_MAX),
    key_count: Count,
    size_bytes: Count,
    /** The value of the requested key, as JSON; absent: none, or no key was requested. */
    value: z.string().max(VALUE_UNITS_MAX).optional(),
  }).optional(),
}).nullable();
/** What one Brain reports about a room's state. */
export type StateAnswer = z.output<typeof StateAnswer>;
