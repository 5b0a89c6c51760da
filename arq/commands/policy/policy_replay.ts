/**
 * `arq policy replay`: repeats the recorded calls of a policy on this machine, first with the module that decided then,
 * and then with a new one, and reports different verdicts.
 */
import { configFrom } from "../../../shared/config/load.ts";
import { plural } from "../../../shared/plural.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { openEndText } from "../../replay/journal_chunks.ts";
import { above, count, countsText, rows, shownVerdict, time } from "../../answers/figures.ts";
import type { Row } from "../../answers/figures.ts";
import { readModuleFile, unlessRefused } from "../../policies/module_file.ts";
import { fuelFigures, plain, sumOf } from "../../replay/tally.ts";
import type { CallBound, FuelFigures, Sample, Tally } from "../../replay/tally.ts";
import type { ReplayModule } from "../../replay/repeater.ts";
import {
  busChunks,
  busModules,
  DEFAULT_TENANT,
  fileChunks,
  namedPolicy,
  policyModule,
} from "../../replay/bus_replay.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { createModuleBook, type ModuleSource, readyModule } from "../../replay/replay_modules.ts";
import { THREADS } from "../../replay/lanes.ts";
import { replay } from "../../replay/replay_run.ts";
import type { ReplaySelection } from "../../replay/selection.ts";
import { CommandError, EXIT, failed, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { createProgress } from "../../terminal/screen.ts";
import { policyName } from "./policy_deploy.ts";
import type { Flags } from "../../program/flags.ts";
import { newOutput } from "../../terminal/input.ts";

/** The options of `arq policy replay`. */
export type ReplayFlags = Omit<Flags, "maxUnknown"> & { readonly maxUnknown?: CallBound };

async function replayed(io: Io, operand: string, flags: ReplayFlags) {
  const named = namedPolicy(operand);
  // Errors of the command line are reported before a bus is searched.
  const policy = named !== undefined && flags.policy === undefined
    ? named.name
    : policyName(operand, flags.policy, "--policy");
  const needs_bus = flags.journal === undefined || named !== undefined;
  const admin = needs_bus ? await findAdmin(io, flags) : undefined;
  const bytes = named === undefined || admin === undefined
    ? await readModuleFile(io, operand)
    : await policyModule(admin, flags.tenant ?? DEFAULT_TENANT, named);
  return { policy, bytes, admin };
}

/** The modules of files by their SHA-256. */
export async function filesBySha(
  io: Io,
  files: readonly string[],
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const file of files) {
    const bytes = await readModuleFile(io, file);
    found.set(await sha256Hex(bytes), bytes);
  }
  return found;
}

/** The part of a journal that the options select. */
export async function selectionOf(
  io: Io,
  policy: string,
  admin: Admin | undefined,
  flags: Pick<Flags, "tenant" | "room" | "since" | "from" | "to">,
): Promise<ReplaySelection> {
  const { tenant, room, since, from, to } = flags;
  // The records of a file are selected by the local clock.
  const from_ms = since === undefined ? from : await admin?.ago(since) ?? io.now() - 1_000 * since;
  return { policy, tenant, room, from_ms, until_ms: to };
}

function isBeyond(number: number, bound: CallBound, calls: number): boolean {
  return "count" in bound ? number > bound.count : number > bound.share * calls;
}

function boundText(bound: CallBound): string {
  return "count" in bound ? String(bound.count) : `${bound.share * 100}%`;
}

/** The exit code of a replay, and the reason when it is not 0. */
function endOf(tally: Tally, flags: ReplayFlags): readonly [code: number, problem: string | null] {
  const { recorded, candidate } = tally;
  const { repeated, not_judged } = candidate;
  const different = sumOf(recorded.different);
  if (different > 0) {
    return [EXIT.failure, `${different} of the recorded module's calls do not repeat as recorded`];
  }
  if (repeated === 0) return [EXIT.failure, "no call could be repeated"];
  const { maxFlips, maxUnknown = maxFlips && { count: 0 } } = flags;
  const flips = candidate.to_refused + candidate.to_allowed;
  if (maxFlips !== undefined && isBeyond(flips, maxFlips, repeated)) {
    return [EXIT.flips, `${flips} flips are more than --max-flips ${boundText(maxFlips)}`];
  }
  // A line that cannot be read may have been a call.
  const unknown = not_judged + tally.bad_lines;
  if (maxUnknown !== undefined && isBeyond(unknown, maxUnknown, repeated + unknown)) {
    const lines = above(tally.bad_lines, ` or read (${plural(tally.bad_lines, "bad line")})`);
    const calls = `${plural(unknown, "call")} could not be judged${lines}`;
    return [EXIT.flips, `${calls}: more than --max-unknown ${boundText(maxUnknown)}`];
  }
  return [EXIT.ok, null];
}

/** Throws the error for a journal that has no call of the policy. */
function requireDecisions(tally: Tally, policy: string): void {
  if (tally.decisions > 0) return;
  if (tally.lines > 0 && tally.bad_lines === tally.lines) {
    const { line = 1, problem = "" } = tally.first_bad ?? {};
    throw new CommandError(`not a journal: line ${line}: ${problem}`);
  }
  const others = [...tally.other_policies.keys()].sort();
  const known = others.length === 0 ? "" : `; it has ${others.slice(0, 10).join(", ")}`;
  const outside = tally.outside === 0 ? "" : `; ${tally.outside} records are outside of the window`;
  throw failed(
    `the journal has no decision of policy ${policy}${known}${outside}`,
    others.length === 0 ? undefined : "--policy names the policy whose calls are repeated",
  );
}

/**
 * Repeats and prints. Returns 1 when a recorded call does not repeat, and `EXIT.flips` when there are more flips, or
 * more calls that cannot be judged, than allowed. After Ctrl-C it prints the results so far.
 */
export async function policyReplay(io: Io, file: string, flags: ReplayFlags): Promise<number> {
  const { journal, json = false, tenant = DEFAULT_TENANT } = flags;
  const pages = flags.memoryLimitPages ?? configFrom({}).platform.overseer.memory_limit_pages;
  const { policy, bytes, admin } = await replayed(io, file, flags);
  const candidate = await unlessRefused(file, () => readyModule(bytes, pages));
  const known = await filesBySha(io, flags.module ?? []);
  known.set(candidate.sha256, bytes);
  const selection = await selectionOf(
    io,
    policy,
    flags.journal === undefined ? admin : undefined,
    flags,
  );
  const chunks = journal === undefined
    ? busChunks(admin as Admin, tenant, selection)
    : await fileChunks(io, journal);
  const onBus = admin === undefined ? undefined : busModules(admin, tenant);
  const source: ModuleSource = async (sha256) => known.get(sha256) ?? await onBus?.(sha256);
  const file_of_flips = flags.flips === undefined ? undefined : await newOutput(io, flags.flips);
  /** Whether that file has content, or is complete without any. */
  let is_kept = false;
  const writeFlips = (flips: readonly unknown[]) => {
    is_kept = true;
    const text = flips.map((one) => `${JSON.stringify(one)}\n`).join("");
    return file_of_flips!.write(new TextEncoder().encode(text));
  };
  const bar = await createProgress(io);
  let tally: Tally;
  try {
    tally = await replay({
      chunks,
      selection,
      candidate,
      moduleOf: createModuleBook(source, pages),
      // State that carries over between calls belongs to one thread.
      threads: candidate.slots.length > 0 ? 1 : THREADS,
      signal: io.signal,
      ...(file_of_flips && { onFlips: writeFlips }),
      onProgress: (decisions) => bar.update(decisions),
    });
    if (!io.signal.aborted) requireDecisions(tally, policy);
    is_kept = true;
    await file_of_flips?.finish();
  } finally {
    bar.stop();
    await file_of_flips?.abandon(is_kept);
  }
  const interrupted = io.signal.aborted;
  const [code, problem] = endOf(tally, flags);
  const { sha256, is_stateful } = candidate;
  const module = { source: file, sha256, is_stateful };
  const answer = replayAnswer({ policy, module, problem, interrupted }, tally);
  await print(io.stdout, json ? `${JSON.stringify(answer)}\n` : replayText(answer));
  io.signal.throwIfAborted();
  return code;
}

/** Makes the answer of `arq policy replay`; `problem`: why its exit code is not 0. */
function replayAnswer(
  { policy, module, problem, interrupted }: {
    readonly policy: string;
    readonly module: Pick<ReplayModule, "sha256" | "is_stateful"> & { readonly source: string };
    readonly problem: string | null;
    readonly interrupted: boolean;
  },
  { recorded, candidate, missing, other_policies: _, ...read }: Tally,
) {
  const { to_refused, to_allowed, recorded_fuel, fuel, ...rest } = candidate;
  const figures = { recorded_fuel: fuelFigures(recorded_fuel), fuel: fuelFigures(fuel) };
  const finite = (at_ms: number) => Number.isFinite(at_ms) ? at_ms : null;
  const window = { first_ms: finite(read.first_ms), last_ms: finite(read.last_ms) };
  const flips = { allow_to_refuse: to_refused, refuse_to_allow: to_allowed };
  return plain({
    policy,
    module,
    recorded,
    interrupted,
    journal: { ...read, ...window, missing_records: missing },
    candidate: { ...rest, ...flips, ...figures },
    /** Why the exit code is not 0; null: it is. */
    problem: interrupted ? null : problem,
  });
}

type ReplayAnswer = ReturnType<typeof replayAnswer>;

function gapRows({ journal }: ReplayAnswer): readonly Row[] {
  const { holes, missing_records, unknown_holes, hole_reasons, bad_lines, first_bad, answers } =
    journal;
  const unsized = above(unknown_holes, `, and ${plural(unknown_holes, "hole")} of unknown size`);
  const why = countsText(hole_reasons);
  const bad = `${count(bad_lines)}; the first is line ${first_bad?.line}: ${first_bad?.problem}`;
  return [
    ["holes", above(holes, `${count(missing_records)} records are missing${unsized} (${why})`)],
    ["bad lines", first_bad === null ? "" : bad],
    ["incomplete", openEndText(answers)],
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
  const change = `${shownVerdict(recorded)} -> ${shownVerdict(repeated)}${otherText(sample)}`;
  return `${printable(`  ${time(time_ms)}  ${who}  ${change}${shown}`)}\n`;
}

function samplesText(title: string, samples: readonly Sample[], of: number): string {
  if (samples.length === 0) return "";
  const shown = samples.length === of ? count(of) : `${samples.length} of ${count(of)}`;
  return `${title} (${shown})\n${samples.map(sampleLine).join("")}`;
}

/** The text of `arq policy replay`: the repeated decisions, the differences, and samples. */
function replayText(answer: ReplayAnswer): string {
  const { policy, module, journal, recorded, candidate, interrupted } = answer;
  const { samples } = candidate;
  const window = journal.first_ms === null || journal.last_ms === null
    ? ""
    : `, ${time(journal.first_ms)} to ${time(journal.last_ms)}`;
  const head = `${policy} by ${module.source} (${module.sha256.slice(0, 12)}) on ` +
    `${plural(journal.decisions, "decision")}${window}`;
  const different = recorded.repeated - recorded.same - recorded.stateful_fuel;
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
