/**
 * `arq policy check` and `test`: the verdict of a gateway on a module without a gateway, and the module's verdicts on
 * events from files. The checks are those of the admin API in the same order.
 */
import { createTrial, messageSizes } from "../../policies/policy_trial.ts";
import type {
  MessageSizes,
  Trial,
  TrialOperation,
  TrialOutcome,
} from "../../policies/policy_trial.ts";
import { configFrom } from "../../../shared/config/load.ts";
import { type MeteredPolicy, meterPolicy } from "../../../shield/policy/abi/abi_check.ts";
import { instantiateGuest } from "../../../shield/policy/abi/host_abi.ts";
import { createCompiler } from "../../../shield/policy/modules/compile.ts";
import { INSTANCE_FUEL_MAX, instanceCost } from "../../../wasm/metering/instance_cost.ts";
import { decodePolicy } from "../../../wasm/metering/meter.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { blockCharges } from "../../../wasm/metering/meter_blocks.ts";
import {
  compileCost,
  FUNCTION_COMPILE_COST,
  MODULE_COMPILE_COST,
} from "../../../wasm/metering/meter_limits.ts";
import { type Hook, HOOKS } from "../../../shield/message/verdict.ts";
import { parseStateKeys, type StateSlot } from "../../../shield/policy/state/declaration.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { PolicyModuleError, WasmError } from "../../../wasm/module/errors.ts";
import { POLICY_LIMITS, ValueType, type WasmModule } from "../../../wasm/module/module.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import { readModuleFile, unlessRefused } from "../../policies/module_file.ts";
import { checkText, testText } from "../../answers/replay_text.ts";
import type { Flags } from "../../program/flags.ts";
import { Op } from "../../../wasm/module/opcodes.ts";
import { ArqonError } from "@arqon/sdk";
import type { Config } from "../../../shared/config/schema.ts";
import { readInput } from "../../terminal/input.ts";

/** A feature beyond WebAssembly 1.0 that policies may use. */
type Feature =
  | "sign extension"
  | "non-trapping conversions"
  | "multi-value"
  | "bulk memory"
  | "reference types"
  | "mutable globals";

/** Opcodes by feature, as ranges with first and last opcode. */
const RANGES: readonly (readonly [first: number, last: number, feature: Feature])[] = [
  [0xc0, 0xc4, "sign extension"],
  [0xfc00, 0xfc07, "non-trapping conversions"],
  [Op.MEMORY_INIT, Op.TABLE_COPY, "bulk memory"],
  [Op.TABLE_GROW, Op.TABLE_FILL, "reference types"],
  [Op.REF_NULL, Op.REF_FUNC, "reference types"],
  [Op.TABLE_GET, Op.TABLE_SET, "reference types"],
  [Op.SELECT_TYPED, Op.SELECT_TYPED, "reference types"],
];

function* codeFeatures(module: WasmModule): Iterable<Feature> {
  for (const { code } of module.functions) {
    for (const { op, a } of code) {
      const feature = RANGES.find(([first, last]) => op >= first && op <= last)?.[2];
      if (feature !== undefined) yield feature;
      // The block type is an index, so the block takes parameters or returns several values.
      if (op >= Op.BLOCK && op <= Op.IF && a >= 0) yield "multi-value";
    }
  }
}

function* declaredFeatures(module: WasmModule): Iterable<Feature> {
  const { types, tables, imports, elements, data, globals, exports } = module;
  if (types.some(({ results }) => results.length > 1)) yield "multi-value";
  if (module.has_data_count || data.some(({ mode }) => mode === "passive")) yield "bulk memory";
  if (elements.some(({ mode }) => mode !== "active")) yield "bulk memory";
  const values = types.flatMap(({ parameters, results }) => [...parameters, ...results]);
  const references = [...values, ...globals.map(({ type }) => type)];
  if (references.some((type) => type === ValueType.FUNCREF || type === ValueType.EXTERNREF)) {
    yield "reference types";
  }
  if (tables.length > 1 || tables.some(({ type }) => type === ValueType.EXTERNREF)) {
    yield "reference types";
  }
  const imported = imports.flatMap(({ description }) =>
    description.kind === "global" ? [description.global] : []
  );
  const all = [...imported, ...globals];
  const is_mutable_export = exports.some(({ kind, index }) =>
    kind === "global" && all[index]?.mutable === true
  );
  if (is_mutable_export || imported.some(({ mutable }) => mutable)) yield "mutable globals";
}

/** The features that a module uses, sorted, each once. */
export function usedFeatures(module: WasmModule): readonly Feature[] {
  return [...new Set([...codeFeatures(module), ...declaredFeatures(module)])].sort();
}

/** A figure and its upper bound. */
export interface Bounded {
  readonly is: number;
  readonly limit: number;
}

/** The facts of a module that could be decoded. */
export type ModuleFacts = ReturnType<typeof factsOf>;

/** How an accepted module behaves between calls. */
interface StateFacts {
  /** The version of the ABI that the module is for. */
  readonly abi: 1 | 2;
  /** How a call gets the initial state; null: the memory lives from call to call (version 1). */
  readonly renewed_by: "restore" | "instance" | null;
  /** Fuel for restoring the initial state, which each call but the first of an instance pays; 0: never restored. */
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
  /** The feature because of which the module is refused, if it is one. */
  readonly feature?: string;
  readonly facts?: ModuleFacts;
  /** Absent when the module is refused. */
  readonly between_calls?: StateFacts;
  /** Length of the metered module. */
  readonly metered_bytes?: number;
  /** Time of the trial compilation with both compilers. */
  readonly compile_ms?: number;
  /** The keys under which it keeps state; absent when it keeps none. */
  readonly state?: readonly ReturnType<typeof stateFacts>[];
  /** The message sizes that it accepts; absent when it is refused, or has no message hook. */
  readonly message_sizes?: MessageSizes;
}

/** One slot of state, as the module declares it. */
const stateFacts = ({ key, ttl_ms, value_bytes }: StateSlot) => ({
  ...{ key, ttl_seconds: ttl_ms / 1_000, value_bytes },
});

function factsOf(module: WasmModule) {
  const costs = module.functions.map((body) =>
    compileCost(module, body, blockCharges(module, body))
  );
  const exported = new Set(module.exports.map(({ name }) => name));
  const [memory] = module.memories;
  const { fuel, fuel_without_memory } = instanceCost(module);
  const entries = module.tables.reduce((sum, { limits }) => sum + limits.minimum, 0);
  return {
    hooks: HOOKS.filter((hook) => exported.has(`arqon_${hook}`)),
    imports: module.imports.map((entry) => `${entry.module}.${entry.name}`),
    features: usedFeatures(module),
    functions: { is: module.functions.length, limit: POLICY_LIMITS.functions },
    memory_pages: memory === undefined
      ? null
      : { initial: memory.limits.minimum, maximum: memory.limits.maximum ?? null },
    table_entries: { is: entries, limit: POLICY_LIMITS.table_entries },
    start_function: module.start !== undefined,
    compile_cost: { is: costs.reduce((sum, one) => sum + one, 0), limit: MODULE_COMPILE_COST },
    function_compile_cost: {
      is: costs.reduce((most, one) => Math.max(most, one), 0),
      limit: FUNCTION_COMPILE_COST,
    },
    instance_fuel: { is: fuel_without_memory, limit: INSTANCE_FUEL_MAX },
    instance_fuel_with_memory: fuel,
  };
}

/** The facts of a module; undefined when it cannot be decoded, for which `meterPolicy` gives the reason. */
function knownFacts(bytes: Uint8Array): ModuleFacts | undefined {
  try {
    return factsOf(decodePolicy(bytes));
  } catch (error) {
    if (error instanceof PolicyModuleError) return undefined;
    throw error;
  }
}

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
  return { told: answer, text: checkText(answer), code: answer.accepted ? EXIT.ok : EXIT.failure };
}

/** An event's outcome: that of the first run that was not allowed, else of the first; `time_ms` is a median. */
export type EventReport = ReturnType<typeof reportOf>;

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
function operationOf(
  flags: TryFlags,
): TrialOperation {
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

async function prepare(
  io: Io,
  flags: TryFlags,
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
    throw usageError(`a gateway would refuse such a message: ${error.message}`);
  }
}

function reportOf({ file }: Prepared, outcomes: readonly TrialOutcome[]) {
  const found = outcomes.findIndex(({ verdict }) => verdict !== "allowed");
  const at = Math.max(0, found);
  const shown = outcomes[at];
  if (shown === undefined) throw new TypeError("an event was not run");
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

/** Runs all events in order, the whole list `times` times, on one instance. */
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
  flags: TryFlags,
): Promise<Ended> {
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
  return { told: answer, text: testText(answer), code: allowed ? EXIT.ok : EXIT.failure };
}
