/** Schedules of the admin API's answers as text for people. Pure. An answer may have any shape and any characters. */
import { cell } from "./mirror_text.ts";
import { listOf, membersOf, table } from "./policy_text.ts";
import { spanText } from "./room_class_text.ts";

type Members = Readonly<Record<string, unknown>>;

const timeText = (ms: unknown): string =>
  typeof ms === "number" && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : "never";

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
export function schedulesTable({ schedules }: Members): string {
  const rows = listOf(schedules).map(membersOf).map((one) => [
    ...[cell(one["id"]), cell(one["room"]), whenText(one), cell(one["state"])],
    one["next_ms"] === null ? "never" : timeText(one["next_ms"]),
    cell(one["published"]),
  ]);
  return rows.length === 0
    ? "no schedules\n"
    : table(["ID", "ROOM", "WHEN", "STATE", "NEXT", "PUBLISHED"], rows);
}

/** One schedule, a member on each line. */
export function scheduleText({ schedule }: Members): string {
  const one = membersOf(schedule);
  const { next_ms, last, published, refused, missed } = one;
  const lines = [
    `${cell(one["id"])}: ${whenText(one)}, ${cell(one["state"])}`,
    `  room       ${cell(one["room"])}`,
    `  next       ${next_ms === null ? "never" : timeText(next_ms)}`,
    `  published  ${cell(published)}, refused ${cell(refused)}, missed ${cell(missed)}`,
    ...(lastText(last) === "" ? [] : [`  last       ${lastText(last)}`]),
  ];
  return `${lines.join("\n")}\n`;
}
