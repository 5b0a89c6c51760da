/** Hooks of the admin API's answers as text for people. Pure. An answer may have any shape and any characters. */
import { CommandError } from "../terminal/exit.ts";
import { cell, listing, listOf, membersOf, when } from "./policy_text.ts";

type Members = Readonly<Record<string, unknown>>;

const eventsOf = (one: Members): string => listOf(one["events"]).map(cell).join(",");

/** In a table; what the problem is, the hook itself says. */
const stateOf = (one: Members): string =>
  `${cell(one["state"])}${one["problem"] ? " (PROBLEM)" : ""}`;

/** The table of a tenant's hooks. */
export const hooksTable = ({ hooks }: Members): string =>
  listing(hooks, ["ID", "STATE", "ROOM", "EVENTS", "DEAD", "FROM=source", "URL"], {
    STATE: stateOf,
    EVENTS: eventsOf,
  }) || "no hooks\n";

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
  const columns = ["DEAD SINCE", "ROOM", "OFFSET", "TYPE", "CALLS", "PROBLEM"];
  const dead = listing(answer["dead"], columns, { "DEAD SINCE": ({ at_ms }) => when(at_ms) });
  return `${hookAnswerText(answer)}\n${dead || "no dead letters\n"}`;
}

/** Throws `CommandError` for a call that the hook has not taken. */
export function requireTaken({ status, problem }: Members, { id }: Members): void {
  if (typeof status === "number" && status >= 200 && status < 300) return;
  const why = status === 0 ? cell(problem) : `it answered ${cell(status)}`;
  throw new CommandError(`the hook ${id} has not taken the call: ${why}`);
}
