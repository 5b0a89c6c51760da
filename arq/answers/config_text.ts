/** What processes say of their configuration, as people read it. Pure; `arq config show` and `reload` print it. */
import { EXIT, printable } from "../terminal/exit.ts";
import { listOf, membersOf } from "./policy_text.ts";

type Members = Readonly<Record<string, unknown>>;

const namesOf = (value: unknown) => listOf(value).map(String).join(", ");

/** The line that names a process, its file and when that was read last. */
function headOf({ node_id, kind, file, loaded_ms }: Members): string {
  const read = new Date(typeof loaded_ms === "number" ? loaded_ms : Number.NaN);
  const when = Number.isNaN(read.getTime()) ? "" : `, read ${read.toISOString()}`;
  return `${kind} ${node_id}: ${file ?? "no file"}${when}`;
}

/** What of the file is not in force, and why. */
function doubtsOf({ needs_restart, problem }: Members): string[] {
  const keys = namesOf(needs_restart);
  return [
    ...(typeof problem === "string" ? [`  refused, nothing has changed: ${problem}`] : []),
    ...(keys === "" ? [] : [`  needs a restart: ${keys}`]),
  ];
}

function linesOf(one: Members, has_values: boolean): string[] {
  if (has_values) {
    const values = Object.entries(membersOf(one["values"]));
    const shown = values.map(([key, value]) => `  ${key} = ${JSON.stringify(value)}`);
    return [headOf(one), ...shown, ...doubtsOf(one)];
  }
  const changed = namesOf(one["changed"]);
  const is_refused = typeof one["problem"] === "string";
  const news = is_refused ? [] : [`  changed: ${changed === "" ? "nothing" : changed}`];
  return [headOf(one), ...news, ...doubtsOf(one)];
}

/** Processes that were asked and did not answer. */
function silentOf(answer: Members): string[] {
  return listOf(membersOf(answer["nodes"])["silent"]).map(String);
}

/** The keys in force in every process. */
export const configText = (answer: Members): string => textOf(answer, true);

/** What the last reading has changed in every process. */
export const reloadedText = (answer: Members): string => textOf(answer, false);

function textOf(answer: Members, has_values: boolean): string {
  const said = listOf(answer["configs"]).map(membersOf).flatMap((one) => linesOf(one, has_values));
  const missing = silentOf(answer).map((node) => `${node} does not answer`);
  return [...said, ...missing].map((line) => `${printable(line)}\n`).join("");
}

/** 0 when every process answers, and has its file in force as far as that goes without a restart. */
export function reloadedExit(answer: Members): number {
  const is_taken = silentOf(answer).length === 0 &&
    listOf(answer["configs"]).map(membersOf).every(({ problem }) => typeof problem !== "string");
  return is_taken ? EXIT.ok : EXIT.failure;
}
