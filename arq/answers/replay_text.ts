/**
 * Reports of repeated decisions as text: `arq policy replay`, `check` and `test`, recorded cases, and `arq schema check
 * --traffic`. Pure.
 */
import { plural } from "../../shared/plural.ts";
import type { Hook } from "../../shared/records/verdict.ts";
import type { StateSlot } from "../../shield/policy/state/declaration.ts";
import type { Bounded, ModuleFacts } from "../policies/module_facts.ts";
import type { MessageSizes, TrialOutcome } from "../policies/policy_trial.ts";
import type { Case, CaseOutcome } from "../replay/case_file.ts";
import type { Decision, Difference } from "../replay/recorded_call.ts";
import type { ReplayModule } from "../replay/repeater.ts";
import type { Counts, FuelFigures, Sample, Tally } from "../replay/tally.ts";
import { printable } from "../terminal/exit.ts";
import type { RefusedEvent, TrafficTally } from "../traffic/schema_checker.ts";
import type { JournalCounts } from "../traffic/schema_thread.ts";
import { inColumns } from "../terminal/columns.ts";

/** A number with separators: `12,345`. */
const count = (number: number) => number.toLocaleString("en-US");
const time = (at_ms: number) => new Date(at_ms).toISOString();

type Row = readonly [name: string, text: string];

/** Aligned rows; pairs without a text are left out. */
function rows(pairs: readonly Row[]): string {
  const filled = pairs.filter(([, text]) => text !== "");
  return inColumns(filled).map((line) => `  ${printable(line)}\n`).join("");
}

/** `fuel 3, trap 1`, the most frequent first. */
function countsText(counts: Counts): string {
  const sorted = Object.entries(counts).sort(([, one], [, other]) => other - one);
  const shown = sorted.slice(0, 8).map(([name, number]) => `${name} ${count(number)}`);
  const more = sorted.length > 8 ? `, and ${sorted.length - 8} more` : "";
  return shown.join(", ") + more;
}

/** The text of a number above 0; "" for 0. */
const above = (number: number, text: string): string => number === 0 ? "" : text;

/** Makes the answer of `arq policy replay`; `problem`: why its exit code is not 0. */
export function replayAnswer(
  { policy, module, problem, interrupted }: {
    readonly policy: string;
    readonly module: Pick<ReplayModule, "sha256" | "is_stateful"> & { readonly source: string };
    readonly problem: string | null;
    readonly interrupted: boolean;
  },
  { recorded, candidate, missing, other_policies: _, ...read }: Tally,
  figures: { readonly recorded_fuel: FuelFigures; readonly fuel: FuelFigures },
) {
  const { to_refused, to_allowed, recorded_fuel: _recorded_fuel, fuel: _fuel, ...rest } = candidate;
  const finite = (at_ms: number) => Number.isFinite(at_ms) ? at_ms : null;
  const window = { first_ms: finite(read.first_ms), last_ms: finite(read.last_ms) };
  const flips = { allow_to_refuse: to_refused, refuse_to_allow: to_allowed };
  return {
    ...{ policy, module, recorded, interrupted },
    journal: { ...read, ...window, missing_records: missing },
    candidate: { ...rest, ...flips, ...figures },
    /** Why the exit code is not 0; null: it is. */
    problem: interrupted ? null : problem,
  };
}

type ReplayAnswer = ReturnType<typeof replayAnswer>;

function gapRows({ journal }: ReplayAnswer): readonly Row[] {
  const { holes, missing_records, unknown_holes, hole_reasons, bad_lines, first_bad } = journal;
  const unsized = above(unknown_holes, `, and ${plural(unknown_holes, "hole")} of unknown size`);
  const why = countsText(hole_reasons);
  const bad = `${count(bad_lines)}; the first is line ${first_bad?.line}: ${first_bad?.problem}`;
  return [
    ["holes", above(holes, `${count(missing_records)} records are missing${unsized} (${why})`)],
    ["bad lines", first_bad === null ? "" : bad],
  ];
}

/** Decisions that were not judged; this row comes first because it limits all others. */
function notJudgedRow({ journal, candidate }: ReplayAnswer): Row {
  const { not_judged, unknown } = candidate;
  const of = `${count(not_judged)} of ${plural(journal.decisions, "decision")}`;
  return ["NOT JUDGED", above(not_judged, `${of}; unknown: ${countsText(unknown)}`)];
}

function recordedRows({ recorded }: ReplayAnswer): readonly Row[] {
  const { repeated, same, stateful_fuel, fuel_not_compared, different } = recorded;
  const how = Object.keys(different).length > 0
    ? `; DIFFERENT: ${countsText(different)}`
    : above(repeated, repeated === same ? ", all the same" : ", none different");
  const stateful = "different only in fuel, of modules that may keep memory (v1)";
  const other = "metered by another version: fuel not compared";
  return [
    ["recorded module", `${count(repeated)} repeated${how}`],
    ["", above(stateful_fuel, `${count(stateful_fuel)} ${stateful}`)],
    ["", above(fuel_not_compared, `${count(fuel_not_compared)} ${other}`)],
    ["  no bytes of", countsText(recorded.no_module)],
    ["  not known", countsText(recorded.unknown)],
    ["  not of the module", countsText(recorded.not_run)],
  ];
}

function fuelText(recorded: FuelFigures, fuel: FuelFigures): string {
  const pair = (part: "sum" | "p50" | "p99" | "max") =>
    `${part} ${count(recorded[part])} -> ${count(fuel[part])}`;
  return above(fuel.calls, (["sum", "p50", "p99", "max"] as const).map(pair).join("; "));
}

function candidateRows({ candidate }: ReplayAnswer): readonly Row[] {
  const { repeated, allow_to_refuse, refuse_to_allow, changed, warm_up, no_hook } = candidate;
  const warm = `${count(warm_up)} of these, while recorded and new state mix`;
  return [
    ["new module", `${count(repeated)} repeated`],
    ["  allow -> refuse", count(allow_to_refuse)],
    ["  refuse -> allow", count(refuse_to_allow)],
    ["  other words or data", count(changed)],
    ["  in the warm-up", above(warm_up, warm)],
    ["  faults", countsText(candidate.faults)],
    ["  no such hook", above(no_hook, count(no_hook))],
    ["  fuel", fuelText(candidate.recorded_fuel, candidate.fuel)],
  ];
}

const shownVerdict = (one: Pick<Decision, "allowed" | "code" | "reason" | "fault">): string =>
  one.allowed
    ? "allowed"
    : one.fault !== null
    ? `fault ${one.fault}`
    : `${one.code}${one.reason === "" ? "" : ` ${JSON.stringify(one.reason)}`}`;

/** Differences beyond the verdict, in brackets: `(other payload)`; "" for none. */
function otherText({ differs, units }: Sample): string {
  const names = differs.split(", ");
  const others = names.filter((name) => ["headers", "payload", "state"].includes(name));
  const parts = [
    ...(others.length === 0 ? [] : [`other ${others.join(", ")}`]),
    ...(names.includes("fuel") ? [`${units[0]} -> ${units[1]} units`] : []),
  ];
  return parts.length === 0 ? "" : ` (${parts.join("; ")})`;
}

/** One decision in a line: time, room, sender, the recorded and the new verdict, and the beginning of the payload. */
function sampleLine(sample: Sample): string {
  const { time_ms, room, user, id, recorded, repeated, payload } = sample;
  const shown = payload === null ? "" : `  ${payload}`;
  const who = `${room} ${user ?? "(erased)"} ${id}`;
  return printable(
    `  ${time(time_ms)}  ${who}  ${shownVerdict(recorded)} -> ${shownVerdict(repeated)}${
      otherText(sample)
    }${shown}`,
  ) + "\n";
}

function samplesText(title: string, samples: readonly Sample[], of: number): string {
  if (samples.length === 0) return "";
  const shown = samples.length === of ? count(of) : `${samples.length} of ${count(of)}`;
  return `${title} (${shown})\n${samples.map(sampleLine).join("")}`;
}

/** The text of `arq policy replay`: the repeated decisions, the differences, and samples. */
export function replayText(answer: ReplayAnswer): string {
  const { policy, module, journal, recorded, candidate, interrupted } = answer;
  const { samples } = candidate;
  const window = journal.first_ms === null || journal.last_ms === null
    ? ""
    : `, ${time(journal.first_ms)} to ${time(journal.last_ms)}`;
  const head = `${policy} by ${module.source} (${module.sha256.slice(0, 12)}) on ` +
    `${plural(journal.decisions, "decision")}${window}`;
  const different = Object.values(recorded.different).reduce((sum, one) => sum + one, 0);
  return [
    `${printable(head)}${interrupted ? "; INTERRUPTED: incomplete result" : ""}\n`,
    rows([
      notJudgedRow(answer),
      ...gapRows(answer),
      ...recordedRows(answer),
      ...candidateRows(answer),
    ]),
    samplesText("different from what was recorded", recorded.samples, different),
    samplesText("allow -> refuse", samples.to_refused, candidate.allow_to_refuse),
    samplesText("refuse -> allow", samples.to_allowed, candidate.refuse_to_allow),
    samplesText("other words or data", samples.changed, candidate.changed),
    module.is_stateful
      ? "The new module may keep memory from call to call (arqon_host_v1): a Shield's may differ.\n"
      : "",
    answer.problem === null ? "" : `${answer.problem}\n`,
  ].join("");
}

const SHOWN = 20;

function countLines(title: string, counts: Counts): string {
  const sorted = Object.entries(counts).sort(([, one], [, other]) => other - one);
  if (sorted.length === 0) return "";
  const lines = sorted.slice(0, SHOWN).map(([name, number]) =>
    `  ${count(number).padStart(9)}  ${name}`
  );
  if (sorted.length > SHOWN) lines.push(`             … and ${sorted.length - SHOWN} more`);
  return `${title}\n${lines.map((line) => `${printable(line)}\n`).join("")}`;
}

/** The result of a check of traffic. */
export interface TrafficAnswer extends TrafficTally {
  readonly source: string;
  readonly against: string;
  readonly traffic: string;
  /** Durable rooms that were read. */
  readonly rooms: readonly string[];
  readonly journal: JournalCounts;
  readonly interrupted: boolean;
  readonly events: RefusedEvent[];
}

function eventLines({ events, refused }: TrafficAnswer): string {
  if (events.length === 0) return "";
  const shown = events.slice(0, SHOWN);
  const lines = shown.map(({ room, sender, offset, id, time_ms, text }) => {
    const place = offset === null ? id ?? "" : `offset ${offset}`;
    const who = sender ?? "(erased)";
    return printable(`  ${new Date(time_ms).toISOString()}  ${room} ${place} ${who}  ${text}`);
  });
  const of = shown.length < refused ? `${shown.length} of ${count(refused)}` : count(refused);
  return `refused (${of}; --json has more)\n${lines.map((line) => `${line}\n`).join("")}`;
}

function leftOut({ unmapped, no_payload, journal }: TrafficAnswer): string {
  const parts = [
    above(unmapped, `${count(unmapped)} of rooms that are not mapped to it`),
    above(no_payload, `${count(no_payload)} without a payload`),
    above(
      journal.outside,
      `${count(journal.outside)} outside of the tenant, the rooms or the time`,
    ),
    above(journal.holes, `${count(journal.holes)} holes in the journal`),
    above(journal.bad_lines, `${count(journal.bad_lines)} bad lines`),
  ].filter((part) => part !== "");
  return parts.length === 0 ? "" : `  not checked: ${parts.join(", ")}\n`;
}

/** The text of `arq schema check --traffic`. */
export function trafficText(answer: TrafficAnswer): string {
  const { source, against, traffic, checked, refused, refused_before, allowed_now } = answer;
  const before = above(refused_before, `, ${count(refused_before)} of them then, too`);
  const now = above(allowed_now, `; ${count(allowed_now)} refused then would pass`);
  const head =
    `${source} as ${against} on ${traffic}: ${count(refused)} of ${count(checked)} events ` +
    `would be refused${before}${now}`;
  return [
    `${printable(head)}${answer.interrupted ? "; INTERRUPTED: incomplete result" : ""}\n`,
    leftOut(answer),
    countLines("by field and rule", answer.by_rule),
    countLines("by sender", answer.by_sender),
    countLines("by room", answer.by_room),
    eventLines(answer),
  ].join("");
}

/** One case that the module does not decide as it was decided. */
export interface CaseReport extends Pick<Case, "id" | "room" | "payload"> {
  readonly file: string;
  readonly kind: "unknown" | "flip" | "changed";
  readonly differs: readonly Difference[];
  readonly unknown: readonly string[];
  readonly recorded: Decision;
  readonly now: Decision;
  readonly recorded_headers: Case["verdict"]["headers"];
  readonly headers: CaseOutcome["headers"];
  readonly recorded_new_payload: Case["verdict"]["payload"];
  readonly new_payload: Case["payload"] | null;
  /** The smallest message of which both modules still differ, or why none was looked for. */
  readonly smallest?: Case["payload"];
  readonly not_shrunk?: string;
}

/** The result of `arq policy test --cases`. */
export interface CasesAnswer {
  readonly module: string;
  readonly cases: number;
  readonly same: number;
  readonly flips: number;
  readonly changed: number;
  readonly unknown: number;
  readonly reports: readonly CaseReport[];
}

const SHOWN_CHARACTERS = 400;

const caseVerdict = (one: Decision): string =>
  `${one.allowed || one.fault !== null ? "" : "refused "}${shownVerdict(one)}`;

function casePayload(payload: CaseReport["new_payload"]): string {
  if (payload === null) return "as it came";
  const text = "json" in payload
    ? JSON.stringify(payload.json)
    : "text" in payload
    ? payload.text
    : `base64 ${payload.base64}`;
  const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  return printable(cut);
}

function caseText(report: CaseReport): string {
  const { file, kind, room, recorded, now, unknown, headers, recorded_headers } = report;
  const lines = [`${kind.toUpperCase().padEnd(7)}  ${file}  ${room}`];
  if (kind === "unknown") lines.push(`  the case has no ${unknown.join(", ")}`);
  else {
    lines.push(`- ${caseVerdict(recorded)}`, `+ ${caseVerdict(now)}`);
    if (report.differs.includes("headers")) {
      lines.push(...recorded_headers.map(([name, value]) => `- header ${name}: ${value}`));
      lines.push(...headers.map(([name, value]) => `+ header ${name}: ${value}`));
    }
    if (report.differs.includes("payload")) {
      lines.push(`- payload ${casePayload(report.recorded_new_payload)}`);
      lines.push(`+ payload ${casePayload(report.new_payload)}`);
    }
  }
  lines.push(`  payload   ${casePayload(report.payload)}`);
  if (report.smallest !== undefined) lines.push(`  smallest  ${casePayload(report.smallest)}`);
  if (report.not_shrunk !== undefined) lines.push(`  not shrunk: ${report.not_shrunk}`);
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** The text of `arq policy test --cases`: each case that differs, then how many do. */
export function casesText({ cases, same, flips, changed, unknown, reports }: CasesAnswer): string {
  const parts = [`${plural(cases, "case")}: ${same} as recorded`];
  if (flips > 0) parts.push(plural(flips, "flip"));
  if (changed > 0) parts.push(`${changed} with other words or data`);
  if (unknown > 0) parts.push(`${unknown} unknown`);
  return `${reports.map(caseText).join("")}${parts.join(", ")}\n`;
}

/** What a module that is accepted does between calls. */
interface StateFacts {
  readonly abi: 1 | 2;
  /** How a call begins with the first state; null: the memory lives from call to call (version 1). */
  readonly renewed_by: "restore" | "instance" | null;
  /** Fuel for putting the first state back, as each call but the first of an instance pays it; 0: never done. */
  readonly restore_fuel: number;
}

/** The result of the check. */
export interface CheckAnswer {
  readonly file: string;
  readonly accepted: boolean;
  readonly sha256: string;
  readonly size_bytes: Bounded;
  readonly memory_limit_pages: number;
  /** Why the module is refused; absent when it is accepted. */
  readonly reason?: string;
  readonly sentence?: string;
  /** Name of the feature for which the module is refused, if it is one. */
  readonly feature?: string;
  readonly facts?: ModuleFacts;
  /** Absent when the module is refused. */
  readonly between_calls?: StateFacts;
  readonly metered_bytes?: number;
  /** Time of the trial compilation with both compilers. */
  readonly compile_ms?: number;
  /** The keys under which it keeps state; absent when it keeps none. */
  readonly state?:
    readonly (Pick<StateSlot, "key" | "value_bytes"> & { readonly ttl_seconds: number })[];
  /** Which messages it decides about; absent when it is refused, or asked about none. */
  readonly message_sizes?: MessageSizes;
}

const LEVELS = ["debug", "info", "warn", "error"];

const bounded = ({ is, limit }: Bounded) => `${count(is)} of ${count(limit)}`;
const list = (names: readonly string[]) => names.length === 0 ? "none" : names.join(", ");
const mib = (pages: number) => `${count(pages / 16)} MiB`;

function memoryText(memory: ModuleFacts["memory_pages"], limit: number): string {
  if (memory === null) return "none";
  const { initial, maximum } = memory;
  const begins = `${count(initial)} ${initial === 1 ? "page" : "pages"}`;
  const most = Math.min(maximum ?? limit, limit);
  const grows = most > initial ? `, may grow to ${count(most)}` : "";
  return `${begins}${grows}; at most ${count(limit)} (${mib(limit)})`;
}

function factRows(facts: ModuleFacts, memory_limit_pages: number): readonly Row[] {
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

/** The state of a policy's memory at the beginning of a call. */
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

function sizeRows({ limit_bytes, refused }: MessageSizes): readonly Row[] {
  const [worst] = refused;
  const name = "message sizes";
  if (worst === undefined) return [[name, `all that the defaults let in (${count(limit_bytes)})`]];
  const head = `up to ${count(worst.bytes)} of ${
    count(limit_bytes)
  } bytes; longer ones may be refused with 503`;
  return [
    [name, head],
    ...refused.map(({ content, bytes }): Row => ["", `${count(bytes)}: ${content}`]),
  ];
}

/** The warning for a policy that cannot judge all messages of the bus; "" when it can. */
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

/** The text of `arq policy check`: first the verdict, then the facts about the module. */
export function checkText(answer: CheckAnswer): string {
  const { file, accepted, facts, reason = "", sentence = "", metered_bytes, compile_ms } = answer;
  const { between_calls } = answer;
  const body = rows([
    ["reason", accepted ? "" : reason],
    ["size", `${bounded(answer.size_bytes)} bytes`],
    ["metered", metered_bytes === undefined ? "" : `${count(metered_bytes)} bytes`],
    ...(facts === undefined ? [] : factRows(facts, answer.memory_limit_pages)),
    [
      "abi",
      between_calls === undefined
        ? ""
        : `version ${between_calls.abi}: ${betweenText(between_calls)}`,
    ],
    ...(answer.state ?? []).map(({ key, ttl_seconds, value_bytes }): Row => [
      "state",
      `${key}: ${count(value_bytes)} bytes for ${count(ttl_seconds)} s`,
    ]),
    [
      "trial compilation",
      compile_ms === undefined ? "" : `both compilers in ${count(compile_ms)} ms`,
    ],
    ...answer.message_sizes === undefined ? [] : sizeRows(answer.message_sizes),
    ["sha256", answer.sha256],
  ]);
  const head = `${accepted ? "accepted" : "refused"}  ${printable(file)}\n`;
  return accepted ? head + body : `${head}${printable(sentence)}\n${body}`;
}

/** Makes an event's outcome from those of its runs, of which there is one at least. */
export function eventReport(
  { file }: { readonly file: string | null },
  outcomes: readonly TrialOutcome[],
) {
  const found = outcomes.findIndex(({ verdict }) => verdict !== "allowed");
  const at = Math.max(0, found);
  const shown = outcomes[at];
  if (shown === undefined) throw new TypeError("an event was not tried");
  const times = outcomes.map(({ time_ms }) => time_ms).sort((one, other) => one - other);
  return {
    ...shown,
    file,
    run: at + 1,
    runs: outcomes.length,
    allowed_runs: outcomes.filter(({ verdict }) => verdict === "allowed").length,
    fuel_max: outcomes.reduce((most, { fuel }) => Math.max(most, fuel), 0),
    time_ms: times[Math.floor((times.length - 1) / 2)] ?? 0,
    time_max_ms: times.at(-1) ?? 0,
  };
}

/** An event's outcome: of the first run that was not allowed, else of the first; `time_ms` is a median. */
export type EventReport = ReturnType<typeof eventReport>;

/** The result of `arq policy test`. */
export interface TestAnswer {
  readonly file: string;
  readonly hook: Hook;
  readonly fuel_limit: number;
  readonly memory_limit_pages: number;
  /** Whether every event was allowed in every run. */
  readonly allowed: boolean;
  readonly events: readonly EventReport[];
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
