/**
 * The spec of a schedule in requests and files, and when it is due: once, at an interval, or by a cron expression in a
 * time zone. Pure. `shield/schedules/` publishes.
 */
import { Cron, CronDate, CronPattern } from "croner";
import { z } from "zod";
import { id } from "../config/values/schema_values.ts";

/** The shortest period, in ms. */
const EVERY_MS_MIN = 1_000;
/** The longest period, in ms: 10 years. */
const EVERY_MS_MAX = 315_360_000_000;
/** The last time that a `Date` can have, Unix ms. */
const TIME_MAX = 8_640_000_000_000_000;

const time = (about: string) => z.int().min(0).max(TIME_MAX).describe(`${about}, Unix ms`);

/** The members that say when: one of `at_ms`, `every_ms` and `cron`. */
export const WHEN = {
  at_ms: time("once, then").optional(),
  every_ms: z.int().min(EVERY_MS_MIN).max(EVERY_MS_MAX).optional().describe("every so often, ms"),
  from_ms: time("with every_ms: the first time").optional(),
  cron: z.string().min(1).max(256).optional().describe(
    "minute, hour, day, month, weekday; with six fields the first is the second",
  ),
  zone: z.string().min(1).max(64).optional().describe(
    "with cron: its time zone, for example Europe/Berlin; absent: UTC",
  ),
  until_ms: time("never after that").optional(),
};

/** The time of a schedule: one of `at_ms`, `every_ms` and `cron`. */
export type When = Partial<z.output<z.ZodObject<typeof WHEN>>>;

/** The members without the message, which is a text in files. */
export const SCHEDULE_MEMBERS = {
  room: id,
  user: z.string().min(1).max(128).regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, {
    error: "expected characters that can be printed",
  }).default("schedule").describe("the user in whose name it is published"),
  ...WHEN,
};

/** A schedule in a request. */
export const ScheduleBody = z.strictObject({
  ...SCHEDULE_MEMBERS,
  message: z.record(z.string(), z.unknown()).describe(
    "a message in the text form, without op and room: type, data, content_type, headers, ...",
  ),
}).superRefine(refuseWhen);
/** A schedule in a request. */
export type ScheduleBody = z.output<typeof ScheduleBody>;

/** Refuses invalid times. */
export function refuseWhen(given: When, context: z.core.$RefinementCtx): void {
  const problem = whenProblem(given);
  if (problem === undefined) return;
  context.addIssue({ code: "custom", path: [problem.path], message: problem.message });
}

const DAY_MS = 86_400_000;

/** Any time that is ever due is within forty years: the rarest is a 29 February on a given weekday. */
const MONTHS_MAX = 40 * 12 + 1;

/**
 * The days of a month that an expression matches; `last` is its last day, `first_weekday` the first one's, 0 a Sunday.
 */
function daysOf(pattern: CronPattern, last: number, first_weekday: number): number[] {
  const weekdayOf = (day: number) => (first_weekday + day - 1) % 7;
  const nearest = (day: number) => {
    if (weekdayOf(day) === 0) return day === last ? day - 2 : day + 1;
    if (weekdayOf(day) === 6) return day === 1 ? day + 2 : day - 1;
    return day;
  };
  const days = Array.from({ length: last }, (_, at) => at + 1);
  const dates = new Set(days.filter((day) => pattern.day[day - 1] === 1));
  for (const day of days) if (pattern.nearestWeekdays[day - 1] === 1) dates.add(nearest(day));
  if (pattern.lastDayOfMonth) dates.add(last);
  if (pattern.lastWeekday) dates.add(nearest(last));
  return days.filter((day) => {
    const is_date = dates.has(day);
    if (pattern.starDOW) return is_date;
    // The bits give the occurrence in the month; the sixth stands for the last.
    const which = (1 << Math.ceil(day / 7) - 1) | (day + 7 > last ? 32 : 0);
    const is_weekday = ((pattern.dayOfWeek[weekdayOf(day)] ?? 0) & which) !== 0;
    return pattern.useAndLogic || pattern.starDOM ? is_date && is_weekday : is_date || is_weekday;
  });
}

/** The six fields of an expression, and the year if it has one. */
function fieldsOf(cron: string): string[] {
  const fields = cron.trim().split(/\s+/);
  return fields.length === 5 ? ["0", ...fields] : fields;
}

/**
 * The next match of an expression on the clock of `zone`. The package searches ten seconds for an expression that never
 * matches: if a month may have no matching day, only single days are passed to it.
 */
function nextOf(cron: string, zone: string, after_ms: number): number | undefined {
  const nextRun = (expression: string) =>
    new Cron(expression, { timezone: zone }).nextRun(new Date(after_ms))?.getTime();
  const { length, 3: date, 5: weekday = "" } = fieldsOf(cron);
  if (length === 6 && date === "*" && !weekday.includes("#")) return nextRun(cron);
  const pattern = new CronPattern(cron);
  const times = fieldsOf(pattern.pattern).slice(0, 3).join(" ");
  const from = new Date(wallAt(after_ms, zone));
  const first = from.getUTCFullYear() * 12 + from.getUTCMonth();
  for (let at = first; at <= first + MONTHS_MAX; at++) {
    const year = Math.floor(at / 12);
    const month = at % 12;
    if (pattern.year[year] !== 1 || pattern.month[month] !== 1) continue;
    const last = new Date(Date.UTC(year, month + 1, 0));
    const first_weekday = (last.getUTCDay() + 36 - last.getUTCDate()) % 7;
    for (const day of daysOf(pattern, last.getUTCDate(), first_weekday)) {
      if (at === first && day < from.getUTCDate()) continue;
      const due_ms = nextRun(`${times} ${day} ${month + 1} * ${year}`);
      if (due_ms !== undefined) return due_ms;
    }
  }
  return undefined;
}

/** The first whole second from `from_ms` to `to_ms` for which `holds` is true; it must be true from there on. */
function firstSecond(from_ms: number, to_ms: number, holds: (ms: number) => boolean): number {
  let low = from_ms;
  let high = to_ms;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2_000) * 1_000;
    if (holds(middle)) high = middle;
    else low = middle + 1_000;
  }
  return low;
}

/** The wall clock of `zone` at that time, as the Unix ms at which a UTC clock shows the same. */
function wallAt(ms: number, zone: string): number {
  const { year, month, day, hour, minute, second } = new CronDate(new Date(ms), zone);
  return Date.UTC(year, month, day, hour, minute, second);
}

/** When the wall clock first shows that time or, if it skips that, a later one. */
function firstAt(wall_ms: number, zone: string): number {
  const offsets = [-DAY_MS, DAY_MS].map((by) => wallAt(wall_ms + by, zone) - wall_ms - by);
  const [least = 0, most = 0] = offsets.sort((one, other) => one - other);
  const earliest_ms = wall_ms - most;
  if (wallAt(earliest_ms, zone) === wall_ms) return earliest_ms;
  return firstSecond(earliest_ms, wall_ms - least, (ms) => wallAt(ms, zone) >= wall_ms);
}

/**
 * The rule of Debian's cron: an expression whose minute and hour have no "*" names times of the wall clock, and each is
 * due once, even if a clock change skips or repeats it. Others are due at each match of that clock.
 */
function cronAfter(cron: string, zone: string, after_ms: number): number | undefined {
  const [, minute = "", hour = ""] = fieldsOf(cron);
  if (cron.includes("@") || /[*?]/.test(minute + hour)) return nextOf(cron, zone, after_ms);
  const wall_ms = wallAt(after_ms, zone);
  const is_repeated = firstAt(wall_ms, zone) + 1_000 <= after_ms;
  const from_ms = is_repeated
    ? firstSecond(wall_ms, wall_ms + DAY_MS, (ms) => firstAt(ms, zone) > after_ms) - 1_000
    : wall_ms;
  const due_ms = nextOf(cron, "UTC", from_ms);
  return due_ms === undefined ? undefined : firstAt(due_ms, zone);
}

/** What is wrong with it; undefined: nothing. `path` is the member. */
export function whenProblem(
  when: When,
): { readonly path: keyof When; readonly message: string } | undefined {
  const given = (["at_ms", "every_ms", "cron"] as const).filter((one) => when[one] !== undefined);
  const path = given[0] ?? "at_ms";
  if (given.length !== 1) return { path, message: "expected one of at_ms, every_ms and cron" };
  if (when.from_ms !== undefined && when.every_ms === undefined) {
    return { path: "from_ms", message: "expected every_ms beside it" };
  }
  if (when.zone !== undefined && when.cron === undefined) {
    return { path: "zone", message: "expected cron beside it" };
  }
  if (when.cron === undefined) return undefined;
  try {
    new Intl.DateTimeFormat("en", { timeZone: when.zone ?? "UTC" });
  } catch {
    return { path: "zone", message: `there is no time zone ${JSON.stringify(when.zone)}` };
  }
  try {
    new CronPattern(when.cron);
    return undefined;
  } catch (error) {
    return { path: "cron", message: error instanceof Error ? error.message : String(error) };
  }
}

/** The first due time after `after_ms` (Unix ms); undefined: none. */
export function dueAfter(when: When, after_ms: number): number | undefined {
  const due_ms = nextAfter(when, after_ms);
  return due_ms === undefined || due_ms > (when.until_ms ?? Infinity) ? undefined : due_ms;
}

function nextAfter(when: When, after_ms: number): number | undefined {
  const { at_ms, every_ms, from_ms = 0, cron = "", zone = "UTC" } = when;
  if (at_ms !== undefined) return at_ms > after_ms ? at_ms : undefined;
  if (every_ms === undefined) return cronAfter(cron, zone, after_ms);
  if (from_ms > after_ms) return from_ms;
  return from_ms + every_ms * (Math.floor((after_ms - from_ms) / every_ms) + 1);
}
