/** Text for people of what `arq policy check` and `arq policy test` found. Pure. */
import type { Bounded, CheckAnswer, ModuleFacts } from "../commands/policy/policy_check.ts";
import type { MessageSizes } from "../policies/message_sizes.ts";
import type { EventReport, TestAnswer } from "../commands/policy/policy_try.ts";
import { printable } from "../terminal/exit.ts";

const LEVELS = ["debug", "info", "warn", "error"];

/** A number with separators: `12,345`. */
const count = (number: number) => number.toLocaleString("en-US");
const bounded = ({ is, limit }: Bounded) => `${count(is)} of ${count(limit)}`;
const list = (names: readonly string[]) => names.length === 0 ? "none" : names.join(", ");
const mib = (pages: number) => `${count(pages / 16)} MiB`;

function rows(pairs: readonly (readonly [name: string, text: string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, text]) => `  ${name.padEnd(width)}  ${printable(text)}\n`).join("");
}

function memoryText(memory: ModuleFacts["memory_pages"], limit: number): string {
  if (memory === null) return "none";
  const { initial, maximum } = memory;
  const begins = `${count(initial)} ${initial === 1 ? "page" : "pages"}`;
  const most = Math.min(maximum ?? limit, limit);
  const grows = most > initial ? `, may grow to ${count(most)}` : "";
  return `${begins}${grows}; at most ${count(limit)} (${mib(limit)})`;
}

function factRows(
  facts: ModuleFacts,
  memory_limit_pages: number,
): readonly (readonly [string, string])[] {
  return [
    ["hooks", list(facts.hooks)],
    ["imports", list(facts.imports)],
    ["features", list(facts.features)],
    ["functions", bounded(facts.functions)],
    ["memory", memoryText(facts.memory_pages, memory_limit_pages)],
    ["table entries", bounded(facts.table_entries)],
    ["start function", facts.start_function ? "yes, which a policy may not have" : "none"],
    ["compile cost", bounded(facts.compile_cost)],
    ["of one function", bounded(facts.function_compile_cost)],
    [
      "instance fuel",
      `${bounded(facts.instance_fuel)}; with its memory ${count(facts.instance_fuel_with_memory)}`,
    ],
  ];
}

/** What a policy finds in its memory. */
function betweenText(
  { renewed_by, restore_fuel }: NonNullable<CheckAnswer["between_calls"]>,
): string {
  switch (renewed_by) {
    case null:
      return "its memory lives from call to call";
    case "restore":
      return `each call begins anew, for ${count(restore_fuel)} fuel`;
    case "instance":
      return "each call begins anew and needs an instance, as its code changes tables or drops segments";
    default:
      return renewed_by satisfies never;
  }
}

/** Which messages a policy decides about. */
function sizeRows({ limit_bytes, refused }: MessageSizes): [string, string][] {
  const [worst] = refused;
  const name = "message sizes";
  if (worst === undefined) return [[name, `all that the defaults let in (${count(limit_bytes)})`]];
  const head = `up to ${count(worst.bytes)} of ${
    count(limit_bytes)
  } bytes; longer ones may be refused with 503`;
  return [
    [name, head],
    ...refused.map(({ content, bytes }): [string, string] => ["", `${count(bytes)}: ${content}`]),
  ];
}

/** What is to be said when a policy is deployed that does not decide about all messages; "": nothing. */
export function sizesWarning(
  file: string,
  { limit_bytes, fuel_limit, refused }: MessageSizes,
): string {
  const [worst] = refused;
  if (worst === undefined) return "";
  return `with a fuel_limit of ${count(fuel_limit)} this policy refuses long messages with 503, ` +
    `from ${count(worst.bytes)} of ${count(limit_bytes)} bytes on when they are ` +
    `${worst.content}; \`arq policy check ${printable(file)}\` has more`;
}

/** The text of `arq policy check`: first the verdict, then what is known of the module. */
export function checkText(answer: CheckAnswer): string {
  const { file, accepted, facts, reason = "", sentence = "" } = answer;
  const refused: [string, string][] = accepted ? [] : [["reason", reason]];
  const metered: [string, string][] = answer.metered_bytes === undefined
    ? []
    : [["metered", `${count(answer.metered_bytes)} bytes`]];
  const compiled: [string, string][] = answer.compile_ms === undefined
    ? []
    : [["trial compilation", `both compilers in ${count(answer.compile_ms)} ms`]];
  const state = (answer.state ?? []).map(({ key, ttl_seconds, value_bytes }): [string, string] => [
    "state",
    `${key}: ${count(value_bytes)} bytes for ${count(ttl_seconds)} s`,
  ]);
  const { between_calls } = answer;
  const abi: [string, string][] = between_calls === undefined
    ? []
    : [["abi", `version ${between_calls.abi}: ${betweenText(between_calls)}`]];
  const known = facts === undefined ? [] : factRows(facts, answer.memory_limit_pages);
  const body = rows([
    ...refused,
    ["size", `${bounded(answer.size_bytes)} bytes`],
    ...metered,
    ...known,
    ...abi,
    ...state,
    ...compiled,
    ...answer.message_sizes === undefined ? [] : sizeRows(answer.message_sizes),
    ["sha256", answer.sha256],
  ]);
  const head = `${accepted ? "accepted" : "refused"}  ${printable(file)}\n`;
  return accepted ? head + body : `${head}${printable(sentence)}\n${body}`;
}

/** A number with three significant digits. */
const figure = (number: number) => String(Number(number.toPrecision(3)));

function verdictText({ verdict, code, reason, fault, detail }: EventReport): string {
  if (verdict === "allowed") return "";
  if (verdict === "refused") return `  ${code}${reason === "" ? "" : ` ${printable(reason)}`}`;
  return `  ${fault}: ${printable(detail)}`;
}

function usageText(event: EventReport, fuel_limit: number): string {
  const { runs, fuel, fuel_max, time_ms, time_max_ms } = event;
  const most = runs === 1 ? "" : `, at most ${figure(fuel_max)}`;
  const slowest = runs === 1 ? "" : ` in the median, at most ${figure(time_max_ms)} ms`;
  return `fuel ${figure(fuel)}${most} of ${count(fuel_limit)}; ${figure(time_ms)} ms${slowest}`;
}

function eventText(event: EventReport, fuel_limit: number): string {
  const { file, run, runs, allowed_runs } = event;
  const of_runs = runs === 1
    ? ""
    : allowed_runs === runs
    ? ` (${count(runs)} runs)`
    : ` (first in run ${count(run)}; ${count(allowed_runs)} of ${count(runs)} allowed)`;
  const name = file === null ? "" : `  ${printable(file)}`;
  const lines = [
    `${event.verdict.padEnd(7)}${name}${verdictText(event)}${of_runs}`,
    `  ${usageText(event, fuel_limit)}`,
    ...(event.client === null ? [] : [
      `  client  ${event.client.code} ${event.client.reason}: ${printable(event.client.message)}`,
    ]),
    ...event.added_headers.map(([name, value]) => printable(`  header  ${name}: ${value}`)),
    ...(event.payload === null ? [] : [printable(`  payload  ${event.payload}`)]),
    ...event.logs.map(({ level, message }) =>
      printable(`  log     ${LEVELS[level] ?? "info"}  ${message}`)
    ),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** The text of `arq policy test`: one part for each event, then how many events were allowed. */
export function testText({ events, fuel_limit }: TestAnswer): string {
  const allowed = events.filter(({ verdict }) => verdict === "allowed").length;
  const sum = events.length === 1 ? "" : `${allowed} of ${events.length} allowed\n`;
  return events.map((event) => eventText(event, fuel_limit)).join("") + sum;
}
