/** What Shields and Brains tell of one room. Strict and bounded: anything on NATS may write it. */
import { isId } from "@arqon/proto";
import { z } from "zod";

/** Members of a room that are told. */
export const ROOM_MEMBERS_MAX = 1_000;
/** Bytes of their metadata together, at most: an answer has to fit. */
export const ROOM_META_BYTES = 2_097_152;

const Id = z.string().refine(isId);
const Count = z.number().min(0);

/** One member, in the order of joins. */
export const RoomMember = z.strictObject({
  connection_id: Id,
  user_id: z.string().max(256),
  /** JSON as the member gave it. */
  meta: z.unknown(),
  joined_ms: z.number(),
});
/** One member. */
export type RoomMember = z.output<typeof RoomMember>;

/** Who may ask about a room. */
export const RoomQuestion = z.strictObject({ tenant: Id, room: Id });

/** A Shield's subscribers, the owning Brain's members; null from Brains that do not own the room. */
export const RoomAnswer = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("shield"), subscribers: Count, messages: Count }),
  z.strictObject({
    kind: z.literal("brain"),
    members: z.array(RoomMember).max(ROOM_MEMBERS_MAX),
    member_count: Count,
    user_count: Count,
    /** Of the room's state; absent while it has none. */
    version: Count.optional(),
  }),
]).nullable();
/** What one process tells of a room. */
export type RoomAnswer = z.output<typeof RoomAnswer>;
