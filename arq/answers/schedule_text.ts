/** Schedules of the admin API's answers as text for people. Pure. An answer may have any shape and any characters. */
import { cell, listing, membersOf, when } from "./policy_text.ts";
import { spanText } from "./room_class_text.ts";

type Members = Readonly<Record<string, unknown>>;

const timeText = (ms: unknown): string => when(ms) || "never";

/** When it is due: `every 10s`, `30 9 * * 1-5 Europe/Berlin`, or a time. */
function whenText({ at_ms, every_ms, cron, zone, until_ms }: Members): string {
  const until = until_ms === undefined ? "" : ` until ${timeText(until_ms)}`;
  if (at_ms !== undefined) return timeText(at_ms);
  if (typeof every_ms === "number") return `every ${spanText(every_ms / 1_000)}${until}`;
  return `${cell(cron)} ${cell(zone ?? "UTC")}${until}`;
}

function lastText(last: unknown): string {
  if (typeof last !== "object" || last === null) return "";
  const { outcome, due_ms, reason } = membersOf(last);
  const why = reason === undefined ? "" : `: ${cell(reason)}`;
  return `${cell(outcome)}, due ${timeText(due_ms)}${why}`;
}

/** The table of a tenant's schedules. */
export const schedulesTable = ({ schedules }: Members): string =>
  listing(schedules, ["ID", "ROOM", "WHEN", "STATE", "NEXT", "PUBLISHED"], {
    WHEN: whenText,
    NEXT: ({ next_ms }) => timeText(next_ms),
  }) || "no schedules\n";

/** One schedule, a member on each line. */
export function scheduleText({ schedule }: Members): string {
  const one = membersOf(schedule);
  const { next_ms, last, published, refused, missed } = one;
  const lines = [
    `${cell(one["id"])}: ${whenText(one)}, ${cell(one["state"])}`,
    `  room       ${cell(one["room"])}`,
    `  next       ${timeText(next_ms)}`,
    `  published  ${cell(published)}, refused ${cell(refused)}, missed ${cell(missed)}`,
    ...(lastText(last) === "" ? [] : [`  last       ${lastText(last)}`]),
  ];
  return `${lines.join("\n")}\n`;
}
