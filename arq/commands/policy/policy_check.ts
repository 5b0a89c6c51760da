/**
 * `arq policy check` and `test`: the verdict of a gateway on a module without a gateway, and the module's verdicts on
 * events from files. The checks are those of the admin API in the same order.
 */
import { ArqonError } from "@arqon/sdk";
import { configFrom } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { type MeteredPolicy, meterPolicy } from "../../../shield/policy/abi/abi_check.ts";
import { instantiateGuest } from "../../../shield/policy/abi/host_abi.ts";
import { createCompiler } from "../../../shield/policy/modules/compile.ts";
import { parseStateKeys, type StateSlot } from "../../../shield/policy/state/declaration.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { PolicyModuleError, WasmError } from "../../../wasm/module/errors.ts";
import { POLICY_LIMITS } from "../../../wasm/module/module.ts";
import { checkText, eventReport, testText } from "../../answers/replay_text.ts";
import type { CheckAnswer, EventReport, TestAnswer } from "../../answers/replay_text.ts";
import { knownFacts } from "../../policies/module_facts.ts";
import { readModuleFile, unlessRefused } from "../../policies/module_file.ts";
import { createTrial, messageSizes } from "../../policies/policy_trial.ts";
import type { Trial, TrialOperation, TrialOutcome } from "../../policies/policy_trial.ts";
import type { Flags } from "../../program/flags.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import type { Ended, Io } from "../../terminal/io.ts";

/** One slot of state, as the module declares it. */
const stateFacts = ({ key, ttl_ms, value_bytes }: StateSlot) => ({
  ...{ key, ttl_seconds: ttl_ms / 1_000, value_bytes },
});

function refusal({ reason, message, cause }: PolicyModuleError) {
  const feature = cause instanceof WasmError ? cause.feature : undefined;
  return { reason, sentence: message, ...(feature === undefined ? {} : { feature }) };
}

/** Fuel for restoring the initial state, with the memory that `arqon_init` leaves, if it succeeds. */
async function restoreFuel({ bytes, renewal, cost }: MeteredPolicy): Promise<number> {
  if (renewal?.by !== "restore") return cost.restore_fuel;
  const compiled = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  try {
    return Math.ceil(instantiateGuest({ compiled, renewal }).renewal_units / UNITS_PER_FUEL);
  } catch {
    return cost.restore_fuel;
  }
}

/** Checks a module as a gateway with that memory limit would. Rejects when the trial compilation fails. */
async function check(
  io: Io,
  file: string,
  bytes: Uint8Array,
  memory_limit_pages: number,
): Promise<CheckAnswer> {
  const about = {
    file,
    sha256: await sha256Hex(bytes),
    size_bytes: { is: bytes.length, limit: POLICY_LIMITS.module_bytes },
    memory_limit_pages,
  };
  const facts = knownFacts(bytes);
  const known = facts === undefined ? {} : { facts };
  try {
    const metered = meterPolicy(bytes, { memory_limit_pages });
    const began_ms = io.monotonic_ms();
    const { state_keys } = await createCompiler().compile(about.sha256, metered.bytes);
    const slots = parseStateKeys(state_keys).map(stateFacts);
    const state = slots.length === 0 ? {} : { state: slots };
    const compile_ms = Math.round(io.monotonic_ms() - began_ms);
    const metered_bytes = metered.bytes.length;
    const { abi, hooks, renewal } = metered;
    const restore_fuel = await restoreFuel(metered);
    const sizes = hooks.includes("on_message")
      ? { message_sizes: await messageSizes(metered, configFrom({}), io) }
      : {};
    const between_calls = { abi, renewed_by: renewal?.by ?? null, restore_fuel };
    return {
      ...about,
      accepted: true,
      ...known,
      between_calls,
      metered_bytes,
      compile_ms,
      ...state,
      ...sizes,
    };
  } catch (error) {
    io.signal.throwIfAborted();
    if (!(error instanceof PolicyModuleError)) throw error;
    if (error.reason === "compile-failed") throw new CommandError(error.message);
    return { ...about, accepted: false, ...refusal(error), ...known };
  }
}

/** Prints the result. Returns 1 when the module is refused. */
export async function policyCheck(io: Io, file: string, flags: Flags): Promise<Ended> {
  const { overseer } = configFrom({}).platform;
  const bytes = await readModuleFile(io, file);
  const pages = flags.memoryLimitPages ?? overseer.memory_limit_pages;
  const answer = await check(io, file, bytes, pages);
  return { json: answer, text: checkText(answer), code: answer.accepted ? EXIT.ok : EXIT.failure };
}

type TryFlags = Flags<"hook" | "room" | "runs" | "tenant" | "type" | "user">;

/** An event that is ready to be run. */
interface Prepared {
  readonly file: string | null;
  readonly operation: TrialOperation;
}

/** Calls in a row after which pending signals are handled. */
const CALLS_AT_ONCE = 64;

function contentTypeOf(data: Uint8Array): string {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
    return "application/json";
  } catch {
    return "text/plain";
  }
}

/** The part of the operation that all events of the command line share. */
function operationOf(flags: TryFlags): TrialOperation {
  const { hook, type, room, header = [] } = flags;
  const reserved = header.find(([name]) => name.toLowerCase().startsWith("x-arqon-"));
  if (reserved !== undefined) {
    throw usageError(
      `--header ${reserved[0]}: the gateway sets this header itself`,
      "give its content with --hook, --tenant, --room, --user, --type or --content-type",
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

async function prepare(io: Io, flags: TryFlags, limits: Config["limits"]): Promise<Prepared[]> {
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
    throw usageError(`a gateway would refuse such a message: ${error.message}`);
  }
}

/** Tries all events in order, the whole list several times, on one instance. */
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
  return prepared.map((one, at) => eventReport(one, outcomes[at] ?? []));
}

/** Prints the outcome of every event. Returns 1 when one was refused or the policy failed. */
export async function policyTry(io: Io, file: string, flags: TryFlags): Promise<Ended> {
  const config = configFrom({});
  const { overseer } = config.platform;
  const limits = {
    fuel_limit: flags.fuelLimit ?? overseer.fuel_limit,
    memory_limit_pages: flags.memoryLimitPages ?? overseer.memory_limit_pages,
  };
  const { hook } = flags;
  const bytes = await readModuleFile(io, file);
  const metered = await unlessRefused(file, () => meterPolicy(bytes, limits));
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
    // A policy that counts by time gives the same result on a machine of any speed.
    now: () => began_ms,
    monotonic_ms: io.monotonic_ms,
  });
  const events = await tryAll(io, trial, prepared, flags.runs);
  const allowed = events.every(({ verdict }) => verdict === "allowed");
  const answer: TestAnswer = { file, hook, ...limits, allowed, events };
  return { json: answer, text: testText(answer), code: allowed ? EXIT.ok : EXIT.failure };
}
