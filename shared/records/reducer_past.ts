/**
 * What a Shield asks the Brain that owns a room with a reducer, in an admin's name: what the room was, to begin
 * another room with its past, to remove its past, to go on without what is lost. The command `room.past`, which no
 * client may send. Pure.
 */
import { z } from "zod";

/** The command. */
export const PAST_COMMAND = "room.past";
/** Values in one answer at most. */
export const PAST_VALUES_MAX = 1_000;
/** Values in one answer where the question names no number. */
export const PAST_VALUES = 200;

const whole = z.int().min(0);
/** A place in a room's log: the last entry that is neither behind the offset nor later; absent: the newest. */
const PLACE = { offset: whole.optional(), time_ms: whole.optional() };

/** What may be asked. */
export const PastAsk = z.discriminatedUnion("action", [
  z.strictObject({
    ...{ action: z.literal("show"), ...PLACE },
    /** Keys that begin so, in UTF-8. */
    prefix: z.string().max(256),
    /** The key to go on behind, in base64. */
    after: z.base64().max(512),
    limit: whole.min(1).max(PAST_VALUES_MAX),
  }),
  z.strictObject({
    ...{ action: z.literal("fork"), ...PLACE },
    /** The room whose past is to be shared; it is asked of the owner of the new one. */
    source: z.string(),
    with_timers: z.boolean(),
  }),
  z.strictObject({
    action: z.literal("trim"),
    /** What is not behind this entry may go; absent: all that is not needed to go on. */
    before: whole.optional(),
  }),
  z.strictObject({ action: z.literal("repair") }),
]);

/** One question. */
export type PastAsk = z.output<typeof PastAsk>;
