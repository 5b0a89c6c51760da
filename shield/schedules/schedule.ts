/**
 * A stored schedule in the bucket `ARQON_SCHEDULES`, and its steps: a Shield claims it when it is due, publishes it,
 * and it is due again. Pure. `schedules.ts` claims and publishes.
 */
import { Id } from "../admin/routing/query.ts";
import { dueAfter, WHEN } from "../../shared/records/schedule.ts";
import { z } from "zod";
import { readStored } from "../../shared/records/stored.ts";

/** The most skipped times of a period, and of a cron expression, that are counted. */
const SKIPPED_MAX = 10_000;
const SOUGHT_MAX = 64;

const Count = z.int().min(0);
const Time = z.int().min(0);

const Outcome = z.strictObject({
  due_ms: Time,
  at_ms: Time,
  outcome: z.enum(["published", "refused", "missed", "set_aside"]),
  /** Why it was not published. */
  reason: z.string().optional(),
});
/** The outcome of one time at which a message was due. */
export type Outcome = z.output<typeof Outcome>;
/** An outcome that the schedule counts. */
export type CountedOutcome = Outcome & {
  readonly outcome: Exclude<Outcome["outcome"], "set_aside">;
};

const Schedule = z.strictObject({
  format: z.literal(1),
  ...WHEN,
  room: Id,
  /** The members of a PUB in the text form, except for its room and its ids. */
  message: z.record(z.string(), z.unknown()),
  user: z.string(),
  by: z.string(),
  created_ms: Time,
  changed_ms: Time,
  is_paused: z.boolean(),
  next_ms: Time.nullable(),
  /** The Shield that publishes it now, or has died meanwhile. */
  claim: z.strictObject({
    node_id: z.string(),
    claimed_ms: Time,
    /** A previous claim has not ended. If this one does not end either, no Shield claims it again. */
    again: z.literal(true).optional(),
  }).nullable(),
  published: Count,
  refused: Count,
  missed: Count,
  last: Outcome.nullable(),
});
/** A schedule as it is stored. */
export type Schedule = z.output<typeof Schedule>;

/** The stored value. */
export const encodeSchedule = (schedule: Schedule): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(schedule));

/** Reads a stored value; undefined: it is not a schedule. Throws `incompatible-version`. */
export const decodeSchedule = (value: Uint8Array): Schedule | undefined =>
  readStored(value, Schedule, "schedule");

/** The id of the message of that due time: the same from every Shield. */
export const messageIdOf = (schedule_id: string, due_ms: number): string =>
  `${schedule_id}.${due_ms}`;

/** The state that the API shows. */
export function stateOf({ is_paused, next_ms, claim, last }: Schedule) {
  if (claim !== null) return "publishing";
  if (is_paused && last?.outcome === "set_aside") return "set_aside";
  if (next_ms === null) return "done";
  return is_paused ? "paused" : "waiting";
}

/**
 * The schedule with that Shield's claim. The time since which it may have been published stays. `is_left`: another
 * process has abandoned its claim.
 */
export function claimed(
  schedule: Schedule,
  { node_id, now_ms, is_left }: { node_id: string; now_ms: number; is_left: boolean },
): Schedule {
  const { claimed_ms = now_ms, again } = schedule.claim ?? {};
  const claim = { node_id, claimed_ms, ...(is_left || again ? { again: true as const } : {}) };
  return { ...schedule, claim };
}

/** The schedule whose claim ended without a message, and without the process's death. */
export function survived(schedule: Schedule): Schedule {
  const { again: _, ...claim } = schedule.claim!;
  return { ...schedule, claim };
}

/** Sets a schedule aside during whose publishing two processes died: pauses it, and skips that time. */
export function setAside(schedule: Schedule, now_ms: number): Schedule {
  const due_ms = schedule.next_ms ?? now_ms;
  return {
    ...schedule,
    is_paused: true,
    claim: null,
    next_ms: dueAfter(schedule, due_ms) ?? null,
    last: {
      due_ms,
      at_ms: now_ms,
      outcome: "set_aside",
      reason: "two processes died while they published it",
    },
  };
}

/** The schedule with the outcome of its due time, and the next time. */
export function afterTime(schedule: Schedule, last: CountedOutcome): Schedule {
  return {
    ...schedule,
    [last.outcome]: schedule[last.outcome] + 1,
    last,
    claim: null,
    next_ms: dueAfter(schedule, last.due_ms) ?? null,
  };
}

/**
 * Skips times before `oldest_ms` (Unix ms) that no Shield published; returns the same schedule if there are none. A
 * claimed time may have been published.
 */
export function withoutMissed(schedule: Schedule, oldest_ms: number, now_ms: number): Schedule {
  const { every_ms, until_ms = Infinity } = schedule;
  let { next_ms, missed } = schedule;
  let due_ms = next_ms;
  if (due_ms === null || next_ms === null || next_ms >= oldest_ms) return schedule;
  if (every_ms !== undefined) {
    const times = Math.ceil((Math.min(oldest_ms, until_ms + 1) - due_ms) / every_ms);
    missed += Math.min(times, SKIPPED_MAX);
    due_ms += (times - 1) * every_ms;
    next_ms = dueAfter(schedule, due_ms) ?? null;
  }
  for (let skipped = 0; next_ms !== null && next_ms < oldest_ms; skipped++) {
    due_ms = next_ms;
    missed++;
    // A search takes up to 0.25 ms, so not every skipped second of a cron expression is searched after a night.
    const from_ms = skipped < SOUGHT_MAX ? next_ms : oldest_ms - 1;
    next_ms = dueAfter(schedule, from_ms) ?? null;
  }
  const last = { due_ms, at_ms: now_ms, outcome: "missed" as const };
  return { ...schedule, next_ms, missed, last };
}

/** Paused, or resumed with the next future time. */
export function paused(schedule: Schedule, is_paused: boolean, now_ms: number): Schedule {
  if (schedule.is_paused === is_paused) return schedule;
  const is_due = schedule.next_ms !== null && schedule.next_ms <= now_ms;
  const next_ms = is_paused || !is_due ? schedule.next_ms : dueAfter(schedule, now_ms) ?? null;
  return { ...schedule, is_paused, next_ms, changed_ms: now_ms };
}
