/**
 * `arq policy replay`: repeats the recorded calls of a policy on this machine, first with the module that decided then,
 * and then with a new one, and reports different verdicts.
 */
import { configFrom } from "../../../shared/config/load.ts";
import { plural } from "../../../shared/plural.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { replayAnswer, replayText } from "../../answers/replay_text.ts";
import { readModuleFile, unlessRefused } from "../../policies/module_file.ts";
import { type CallBound, fuelFigures, sumOf, type Tally } from "../../replay/tally.ts";
import { fileChunks } from "../../replay/journal_source.ts";
import {
  busChunks,
  busModules,
  DEFAULT_TENANT,
  namedPolicy,
  policyModule,
} from "../../replay/bus_replay.ts";
import { type Admin, agoIn, findAdmin } from "../../bus/admin.ts";
import { createModuleBook, type ModuleSource, readyModule } from "../../replay/replay_modules.ts";
import { replay } from "../../replay/replay_run.ts";
import type { ReplaySelection } from "../../replay/selection.ts";
import { CommandError, EXIT, failed } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { createProgress } from "../../terminal/progress.ts";
import { policyName } from "./policy_deploy.ts";
import type { Flags } from "../../program/flags.ts";
import { newFile } from "../../terminal/input.ts";

/** The options of `arq policy replay`. */
export type ReplayFlags = Omit<Flags, "maxUnknown"> & { readonly maxUnknown?: CallBound };

/** The most threads, because the machine has other work. */
const THREADS = 2;

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
    : await policyModule(io, admin, flags.tenant ?? DEFAULT_TENANT, named);
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
  const from_ms = since === undefined ? from : await agoIn(io, admin, since);
  return {
    policy,
    ...(tenant === undefined ? {} : { tenant }),
    ...(room === undefined ? {} : { room }),
    ...(from_ms === undefined ? {} : { from_ms }),
    ...(to === undefined ? {} : { until_ms: to }),
  };
}

/** Writes flips into a new file, one JSON object a line. */
async function flipWriter(io: Io, path: string | undefined) {
  if (path === undefined) return undefined;
  const writer = await newFile(io, path);
  const encoder = new TextEncoder();
  /** Whether it has content, or is complete without any. */
  let is_kept = false;
  return {
    add(flips: readonly unknown[]) {
      is_kept = true;
      return writer.write(encoder.encode(flips.map((one) => `${JSON.stringify(one)}\n`).join("")));
    },
    finish() {
      is_kept = true;
      return writer.finish();
    },
    /** An empty file would block the next attempt. */
    async abandon() {
      writer.abandon();
      if (!is_kept) await io.files.remove(resolvePath(io.cwd, path));
    },
  };
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
  if (maxUnknown !== undefined && isBeyond(not_judged, maxUnknown, repeated + not_judged)) {
    const calls = `${plural(not_judged, "call")} could not be judged`;
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
  const others = Object.keys(tally.other_policies).sort();
  const known = others.length === 0 ? "" : `; it has ${others.slice(0, 10).join(", ")}`;
  const outside = tally.outside === 0 ? "" : `; ${tally.outside} records are outside of the window`;
  throw failed(
    `the journal has no decision of policy ${policy}${known}${outside}`,
    others.length === 0 ? undefined : "--policy names the policy whose calls are repeated",
  );
}

const threads = () =>
  Math.max(1, Math.min(THREADS, globalThis.navigator?.hardwareConcurrency ?? 1));

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
    ? busChunks(io, admin as Admin, tenant, selection)
    : await fileChunks(io, journal);
  const onBus = admin === undefined ? undefined : busModules(io, admin, tenant);
  const source: ModuleSource = async (sha256) => known.get(sha256) ?? await onBus?.(sha256);
  const writer = await flipWriter(io, flags.flips);
  const is_tty = io.stderr.is_tty;
  const bar = await createProgress({ is_tty, total: undefined, now: io.monotonic_ms });
  let tally: Tally;
  try {
    tally = await replay({
      chunks,
      selection,
      candidate,
      moduleOf: createModuleBook(source, pages),
      // State that carries over between calls belongs to one thread.
      threads: candidate.slots.length > 0 ? 1 : threads(),
      signal: io.signal,
      ...(writer === undefined ? {} : { onFlips: writer.add }),
      onProgress: (decisions) => bar.update(decisions),
    });
    if (!io.signal.aborted) requireDecisions(tally, policy);
    await writer?.finish();
  } finally {
    bar.stop();
    await writer?.abandon();
  }
  const interrupted = io.signal.aborted;
  const [code, problem] = endOf(tally, flags);
  const { sha256, is_stateful } = candidate;
  const module = { source: file, sha256, is_stateful };
  const { recorded_fuel, fuel } = tally.candidate;
  const figures = { recorded_fuel: fuelFigures(recorded_fuel), fuel: fuelFigures(fuel) };
  const answer = replayAnswer({ policy, module, problem, interrupted }, tally, figures);
  await print(io.stdout, json ? `${JSON.stringify(answer)}\n` : replayText(answer));
  io.signal.throwIfAborted();
  return code;
}
