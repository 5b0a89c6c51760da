/** Hooks of the admin API's answers as text for people. Pure. An answer may have any shape and any characters. */
import { CommandError } from "../terminal/exit.ts";
import { cell } from "./mirror_text.ts";
import { listOf, membersOf, table } from "./policy_text.ts";

type Members = Readonly<Record<string, unknown>>;

const eventsOf = (one: Members): string => listOf(one["events"]).map(cell).join(",");
const timeText = (ms: unknown): string =>
  typeof ms === "number" && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : "";

/** In a table; what the problem is, the hook itself says. */
const stateOf = (one: Members): string =>
  `${cell(one["state"])}${one["problem"] ? " (PROBLEM)" : ""}`;

/** The table of a tenant's hooks. */
export function hooksTable({ hooks }: Members): string {
  const rows = listOf(hooks).map(membersOf).map((one) => [
    ...[cell(one["id"]), stateOf(one), cell(one["room"]), eventsOf(one)],
    ...[cell(one["dead"]), cell(one["source"]), cell(one["url"])],
  ]);
  return rows.length === 0
    ? "no hooks\n"
    : table(["ID", "STATE", "ROOM", "EVENTS", "DEAD", "FROM", "URL"], rows);
}

/** One hook, a member on each line. */
export function hookAnswerText({ hook }: Members): string {
  const one = membersOf(hook);
  const lines = [
    `${cell(one["id"])}: ${cell(one["state"])}`,
    `  url     ${cell(one["url"])}`,
    `  room    ${cell(one["room"])}`,
    `  events  ${eventsOf(one)}`,
    `  dead    ${cell(one["dead"])}`,
    ...(one["problem"] ? [`  PROBLEM ${cell(one["problem"])}`] : []),
    ...(one["secret"] === undefined ? [] : [`  secret  ${cell(one["secret"])} (told only now)`]),
  ];
  return `${lines.join("\n")}\n`;
}

/** One hook, with its dead letters. */
export function hookLettersText(answer: Members): string {
  const rows = listOf(answer["dead"]).map(membersOf).map((one) => [
    ...[timeText(one["at_ms"]), cell(one["room"]), cell(one["offset"]), cell(one["type"])],
    ...[cell(one["calls"]), cell(one["problem"])],
  ]);
  const dead = rows.length === 0
    ? "no dead letters\n"
    : table(["DEAD SINCE", "ROOM", "OFFSET", "TYPE", "CALLS", "PROBLEM"], rows);
  return `${hookAnswerText(answer)}\n${dead}`;
}

/** Throws `CommandError` for a call that the hook has not taken. */
export function requireTaken({ status, problem }: Members, { id }: Members): void {
  if (typeof status === "number" && status >= 200 && status < 300) return;
  const why = status === 0 ? cell(problem) : `it answered ${cell(status)}`;
  throw new CommandError(`the hook ${id} has not taken the call: ${why}`);
}
