/**
 * What is said of a schedule by whoever sets it, in requests and in files, and when it is due: once, every so often,
 * or by a cron expression in a time zone. Pure. Who publishes then is `shield/schedules/`.
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

/** The members of a schedule that say when: one of `at_ms`, `every_ms` and `cron`. */
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

/** When a schedule is due, as it was set. */
export type When = Partial<z.output<z.ZodObject<typeof WHEN>>>;

/** The members without the message, which files have as a text. */
export const SCHEDULE_MEMBERS = {
  room: id,
  user: z.string().min(1).max(128).regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, {
    error: "expected characters that can be printed",
  }).default("schedule").describe("in whose name it is published"),
  ...WHEN,
};

/** A schedule as a request has it. */
export const ScheduleBody = z.strictObject({
  ...SCHEDULE_MEMBERS,
  message: z.record(z.string(), z.unknown()).describe(
    "a message in the text form, without op and room: type, data, content_type, headers, ...",
  ),
}).superRefine(refuseWhen);
/** A schedule as a request has it. */
export type ScheduleBody = z.output<typeof ScheduleBody>;

/** Refuses times that are none. */
export function refuseWhen(given: When, context: z.core.$RefinementCtx): void {
  const problem = whenProblem(given);
  if (problem === undefined) return;
  context.addIssue({ code: "custom", path: [problem.path], message: problem.message });
}

const DAY_MS = 86_400_000;

/** Whatever is ever due is due within forty years: the rarest is a 29 February that is a certain weekday. */
const MONTHS_MAX = 40 * 12 + 1;

/** The days of a month that an expression names; `last` is its last day, `first_weekday` the first one's, 0 a Sunday. */
function daysOf(pattern: CronPattern, last: number, first_weekday: number): number[] {
  const weekdayOf = (day: number) => (first_weekday + day - 1) % 7;
  /** The weekday of the month that is next to a day of it. */
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
    // The bits say which one of the month it is, and the sixth that it is the last.
    const which = (1 << Math.ceil(day / 7) - 1) | (day + 7 > last ? 32 : 0);
    const is_weekday = ((pattern.dayOfWeek[weekdayOf(day)] ?? 0) & which) !== 0;
    return pattern.useAndLogic || pattern.starDOM ? is_date && is_weekday : is_date || is_weekday;
  });
}

/** The six fields of an expression, and the year's where it has one. */
function fieldsOf(cron: string): string[] {
  const fields = cron.trim().split(/\s+/);
  return fields.length === 5 ? ["0", ...fields] : fields;
}

/**
 * When the clock of `zone` next says what an expression names. The package counts for ten seconds what is never due:
 * where a month may have none of its days, it is asked for the times of one day only.
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
    const [year, month] = [Math.floor(at / 12), at % 12];
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

/** The first whole second of `from_ms` to `to_ms` at which this holds; from there on it must hold. */
function firstSecond(from_ms: number, to_ms: number, holds: (ms: number) => boolean): number {
  let [low, high] = [from_ms, to_ms];
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2_000) * 1_000;
    if (holds(middle)) high = middle;
    else low = middle + 1_000;
  }
  return low;
}

/** What a clock on the wall of `zone` says then, as the Unix ms at which one in UTC says it. */
function wallAt(ms: number, zone: string): number {
  const { year, month, day, hour, minute, second } = new CronDate(new Date(ms), zone);
  return Date.UTC(year, month, day, hour, minute, second);
}

/** When the clock on the wall first says that or, where it leaves that out, more. */
function firstAt(wall_ms: number, zone: string): number {
  const offsets = [-DAY_MS, DAY_MS].map((by) => wallAt(wall_ms + by, zone) - wall_ms - by);
  const [least = 0, most = 0] = offsets.sort((one, other) => one - other);
  const earliest_ms = wall_ms - most;
  if (wallAt(earliest_ms, zone) === wall_ms) return earliest_ms;
  return firstSecond(earliest_ms, wall_ms - least, (ms) => wallAt(ms, zone) >= wall_ms);
}

/**
 * By the rule of Debian's cron: an expression whose minute and hour have no "*" names times of the clock on the wall,
 * and each is due once, also where a change of the clock leaves it out or repeats it. Others are due whenever that
 * clock says so.
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

/** The first time after `after_ms` (Unix ms) at which it is due; undefined: there is none. */
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
