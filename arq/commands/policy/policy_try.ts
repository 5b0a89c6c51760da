/**
 * `arq policy test`: runs a module on events from files and prints verdict, fuel, time, headers and logs of
 * each. It needs no bus. The module is checked and metered as on a gateway, without the trial compilation.
 */
import { ArqonError } from "@arqon/sdk";
import { configFrom } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { type MeteredPolicy, meterPolicy } from "../../../shield/policy/abi/abi_check.ts";
import type { Hook } from "../../../shield/message/verdict.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { readModuleFile } from "../../policies/module_file.ts";
import { type Io, print } from "../../terminal/io.ts";
import { testText } from "../../answers/policy_report.ts";
import { createTrial } from "../../policies/policy_trial.ts";
import type { Trial, TrialOperation, TrialOutcome } from "../../policies/policy_trial.ts";
import type { Flags } from "../../program/flags.ts";

/**
 * The outcome of an event over all its runs: that of the first run that was not allowed, else of the first
 * run. `time_ms` is the median of all runs.
 */
export interface EventReport extends TrialOutcome {
  /** Path of the event's file; null for a hook without an event. */
  readonly file: string | null;
  /** Number of the run that is shown, from 1. */
  readonly run: number;
  readonly runs: number;
  readonly allowed_runs: number;
  readonly fuel_max: number;
  readonly time_max_ms: number;
}

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

/** An event that is ready to be tried. */
interface Prepared {
  readonly file: string | null;
  readonly operation: TrialOperation;
}

/** Calls in a row, after which pending signals are handled. */
const CALLS_AT_ONCE = 64;

function meterFor(
  file: string,
  bytes: Uint8Array,
  memory_limit_pages: number,
): MeteredPolicy {
  try {
    return meterPolicy(bytes, { memory_limit_pages });
  } catch (error) {
    if (!(error instanceof PolicyModuleError)) throw error;
    const hint = `arq policy check ${file} says more`;
    throw new CommandError(
      `${file} is refused (${error.reason}): ${error.message}`,
      EXIT.failure,
      hint,
    );
  }
}

function contentTypeOf(data: Uint8Array): string {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
    return "application/json";
  } catch {
    return "text/plain";
  }
}

/** The part of the operation that all events of the command line share. */
function operationOf(
  flags: Flags<"hook" | "room" | "runs" | "tenant" | "type" | "user">,
): TrialOperation {
  const { hook, type, room, header = [] } = flags;
  const reserved = header.find(([name]) => name.toLowerCase().startsWith("x-arqon-"));
  if (reserved !== undefined) {
    throw usageError(
      `--header ${reserved[0]}: the gateway sets this header itself`,
      "give what it says with --hook, --tenant, --room, --user, --type or --content-type",
    );
  }
  return {
    hook,
    room_id: room,
    headers: Object.fromEntries(header),
    type,
    content_type: "",
    payload: new Uint8Array(),
  };
}

async function prepare(
  io: Io,
  flags: Flags<"hook" | "room" | "runs" | "tenant" | "type" | "user">,
  limits: Config["limits"],
): Promise<Prepared[]> {
  const { hook, event: files = [] } = flags;
  const operation = operationOf(flags);
  if (hook !== "on_message" && hook !== "on_append") {
    if (files.length === 0) return [{ file: null, operation }];
    throw usageError(`--event: ${hook} has no event`);
  }
  if (files.length === 0) throw usageError("nothing to test: give --event FILE");
  const prepared: Prepared[] = [];
  for (const file of files) {
    const payload = await readInput(io, file);
    if (payload.length > limits.max_frame_bytes) {
      throw new CommandError(
        `${file} has ${payload.length} bytes; a frame has at most ${limits.max_frame_bytes}`,
      );
    }
    const content_type = flags.contentType ?? contentTypeOf(payload);
    prepared.push({ file, operation: { ...operation, payload, content_type } });
  }
  return prepared;
}

async function tryOnce(trial: Trial, { operation }: Prepared): Promise<TrialOutcome> {
  try {
    return await trial(operation);
  } catch (error) {
    if (!(error instanceof ArqonError)) throw error;
    throw usageError(`no gateway takes such a message: ${error.message}`);
  }
}

function reportOf({ file }: Prepared, outcomes: readonly TrialOutcome[]): EventReport {
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

/** Tries all events in order, the whole list so many times, on one instance. */
async function tryAll(
  io: Io,
  trial: Trial,
  prepared: readonly Prepared[],
  runs: number,
): Promise<EventReport[]> {
  const outcomes: TrialOutcome[][] = prepared.map(() => []);
  let calls = 0;
  for (let run = 0; run < runs; run++) {
    for (const [at, one] of prepared.entries()) {
      outcomes[at]?.push(await tryOnce(trial, one));
      if (++calls % CALLS_AT_ONCE !== 0) continue;
      await new Promise((resolve) => setTimeout(resolve));
      io.signal.throwIfAborted();
    }
  }
  return prepared.map((one, at) => reportOf(one, outcomes[at] ?? []));
}

/** Prints the outcome of every event. Returns 1 when one was refused or the policy failed. */
export async function policyTry(
  io: Io,
  file: string,
  flags: Flags<"hook" | "room" | "runs" | "tenant" | "type" | "user">,
): Promise<number> {
  const config = configFrom({});
  const { overseer } = config.platform;
  const limits = {
    fuel_limit: flags.fuelLimit ?? overseer.fuel_limit,
    memory_limit_pages: flags.memoryLimitPages ?? overseer.memory_limit_pages,
  };
  const { hook } = flags;
  const metered = meterFor(file, await readModuleFile(io, file), limits.memory_limit_pages);
  if (!metered.hooks.includes(hook)) {
    throw usageError(
      `${file} has no hook ${hook}; it has ${metered.hooks.join(", ")}`,
      `give --hook ${metered.hooks[0]}`,
    );
  }
  const prepared = await prepare(io, flags, config.limits);
  const began_ms = io.now();
  const trial = createTrial({
    module: await WebAssembly.compile(metered.bytes),
    renewal: metered.renewal,
    fuel_limit: limits.fuel_limit,
    config,
    tenant_id: flags.tenant,
    user_id: flags.user,
    claims: Object.fromEntries(flags.claim ?? []),
    // A policy that counts by time says the same on a machine of any speed.
    now: () => began_ms,
    monotonic_ms: io.monotonic_ms,
  });
  const events = await tryAll(io, trial, prepared, flags.runs);
  const allowed = events.every(({ verdict }) => verdict === "allowed");
  const answer: TestAnswer = { file, hook, ...limits, allowed, events };
  await print(io.stdout, flags.json === true ? `${JSON.stringify(answer)}\n` : testText(answer));
  return allowed ? EXIT.ok : EXIT.failure;
}
