/**
 * An admin's request about a room with a reducer, from a Shield to the Brain that owns the room: show, fork, trim or
 * repair its past. The command `room.past`, which clients may not send. Pure.
 */
import { z } from "zod";

/** The name of the command. */
export const PAST_COMMAND = "room.past";
/** The most values in one answer. */
export const PAST_VALUES_MAX = 1_000;
/** Values in one answer by default. */
export const PAST_VALUES = 200;

const whole = z.int().min(0);
/** A position in a room's log: the last entry neither after the offset nor after the time; absent: the newest. */
const PLACE = { offset: whole.optional(), time_ms: whole.optional() };

/** The requests. */
export const PastAsk = z.discriminatedUnion("action", [
  z.strictObject({
    action: z.literal("show"),
    ...PLACE,
    /** The prefix of the keys, in UTF-8. */
    prefix: z.string().max(256),
    /** The last key of the previous page, in base64. */
    after: z.base64().max(512),
    limit: whole.min(1).max(PAST_VALUES_MAX),
  }),
  z.strictObject({
    action: z.literal("fork"),
    ...PLACE,
    /** The room to fork; the request goes to the owner of the new one. */
    source: z.string(),
    with_timers: z.boolean(),
  }),
  z.strictObject({
    action: z.literal("trim"),
    /** Everything before this entry may go; absent: everything that is not needed to continue. */
    before: whole.optional(),
  }),
  z.strictObject({ action: z.literal("repair") }),
]);

export type PastAsk = z.output<typeof PastAsk>;
