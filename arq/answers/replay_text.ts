/** Text for people of what `arq policy replay` found. Pure. */
import type { ReplayAnswer } from "../commands/policy/policy_replay.ts";
import type { FuelFigures } from "../replay/fuel_histogram.ts";
import type { Counts, Sample } from "../replay/tally.ts";
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

/** A number with separators: `12,345`. */
const count = (number: number) => number.toLocaleString("en-US");
const time = (at_ms: number) => new Date(at_ms).toISOString();

type Row = readonly [name: string, text: string];

function rows(pairs: readonly Row[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, text]) => `  ${name.padEnd(width)}  ${printable(text)}\n`).join("");
}

/** `fuel 3, trap 1`, the most frequent first. */
function countsText(counts: Counts): string {
  const sorted = Object.entries(counts).sort(([, one], [, other]) => other - one);
  const shown = sorted.slice(0, 8).map(([name, number]) => `${name} ${count(number)}`);
  const more = sorted.length > 8 ? `, and ${sorted.length - 8} more` : "";
  return shown.join(", ") + more;
}

const some = (name: string, counts: Counts): readonly Row[] =>
  Object.keys(counts).length === 0 ? [] : [[name, countsText(counts)]];

function gapRows({ journal }: ReplayAnswer): readonly Row[] {
  const { holes, missing_records, unknown_holes, hole_reasons, bad_lines, first_bad } = journal;
  const unsaid = unknown_holes === 0
    ? ""
    : `, and ${plural(unknown_holes, "hole")} of unknown size`;
  const gaps: readonly Row[] = holes === 0 ? [] : [[
    "holes",
    `${count(missing_records)} records are missing${unsaid} (${countsText(hole_reasons)})`,
  ]];
  const bad: readonly Row[] = first_bad === null ? [] : [[
    "bad lines",
    `${count(bad_lines)}; the first is line ${first_bad.line}: ${first_bad.problem}`,
  ]];
  return [...gaps, ...bad];
}

/** What is not judged comes before everything that is said of the rest. */
function notJudgedRows({ journal, candidate }: ReplayAnswer): readonly Row[] {
  const { not_judged, unknown } = candidate;
  if (not_judged === 0) return [];
  const of = `${count(not_judged)} of ${plural(journal.decisions, "decision")}`;
  return [["NOT JUDGED", `${of}; not known: ${countsText(unknown)}`]];
}

function recordedRows({ recorded }: ReplayAnswer): readonly Row[] {
  const { repeated, same, stateful_fuel, fuel_not_compared, different } = recorded;
  const result = Object.keys(different).length > 0
    ? `${count(repeated)} repeated; DIFFERENT: ${countsText(different)}`
    : repeated === 0
    ? "0 repeated"
    : repeated === same
    ? `${count(repeated)} repeated, all the same`
    : `${count(repeated)} repeated, none different`;
  const stateful: readonly Row[] = stateful_fuel === 0 ? [] : [[
    "",
    `${count(stateful_fuel)} with other fuel alone, of modules that may keep memory (v1)`,
  ]];
  const other: readonly Row[] = fuel_not_compared === 0 ? [] : [[
    "",
    `${count(fuel_not_compared)} metered by another version: fuel not compared`,
  ]];
  return [
    ["recorded module", result],
    ...stateful,
    ...other,
    ...some("  no bytes of", recorded.no_module),
    ...some("  not known", recorded.unknown),
    ...some("  not of the module", recorded.not_run),
  ];
}

function fuelRow(name: string, recorded: FuelFigures, fuel: FuelFigures): readonly Row[] {
  if (fuel.calls === 0) return [];
  const pair = (part: "sum" | "p50" | "p99" | "max") =>
    `${part} ${count(recorded[part])} -> ${count(fuel[part])}`;
  return [[name, (["sum", "p50", "p99", "max"] as const).map(pair).join("; ")]];
}

function candidateRows({ candidate }: ReplayAnswer): readonly Row[] {
  const { repeated, allow_to_refuse, refuse_to_allow, changed, warm_up, no_hook } = candidate;
  const warm: readonly Row[] = warm_up === 0
    ? []
    : [["  in the warm-up", `${count(warm_up)} of these, while recorded and new state mix`]];
  return [
    ["new module", `${count(repeated)} repeated`],
    ["  allow -> refuse", count(allow_to_refuse)],
    ["  refuse -> allow", count(refuse_to_allow)],
    ["  other words or data", count(changed)],
    ...warm,
    ...some("  faults", candidate.faults),
    ...(no_hook === 0 ? [] : [["  no such hook", count(no_hook)] as const]),
    ...fuelRow("  fuel", candidate.recorded_fuel, candidate.fuel),
  ];
}

const said = (one: Sample["recorded"]): string =>
  one.allowed
    ? "allowed"
    : one.fault !== null
    ? `fault ${one.fault}`
    : `${one.code}${one.reason === "" ? "" : ` ${JSON.stringify(one.reason)}`}`;

/** What differs that neither verdict shows, in brackets: `(other payload)`; "" for nothing. */
function unsaid({ differs, units }: Sample): string {
  const names = differs.split(", ");
  const others = names.filter((name) => ["headers", "payload", "state"].includes(name));
  const parts = [
    ...(others.length === 0 ? [] : [`other ${others.join(", ")}`]),
    ...(names.includes("fuel") ? [`${units[0]} -> ${units[1]} units`] : []),
  ];
  return parts.length === 0 ? "" : ` (${parts.join("; ")})`;
}

/** One decision in a line: when, where, who, what it said then and now, and the payload's beginning. */
function sampleLine(sample: Sample): string {
  const { time_ms, room, user, id, recorded, repeated, payload } = sample;
  const shown = payload === null ? "" : `  ${payload}`;
  const who = `${room} ${user ?? "(erased)"} ${id}`;
  return printable(
    `  ${time(time_ms)}  ${who}  ${said(recorded)} -> ${said(repeated)}${unsaid(sample)}${shown}`,
  ) + "\n";
}

function samplesText(title: string, samples: readonly Sample[], of: number): string {
  if (samples.length === 0) return "";
  const shown = samples.length === of ? count(of) : `${samples.length} of ${count(of)}`;
  return `${title} (${shown})\n${samples.map(sampleLine).join("")}`;
}

/** The text of `arq policy replay`: what was repeated, what differs, and samples. */
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
    `${printable(head)}${interrupted ? "; INTERRUPTED: this is what was done" : ""}\n`,
    rows([
      ...notJudgedRows(answer),
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
