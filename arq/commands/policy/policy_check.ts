/**
 * `arq policy check`: says without a gateway what a gateway would say about a module, and why. It makes the
 * checks of the admin API in the same order: the binary, the ABI, the static limits, a trial compilation.
 */
import { type MessageSizes, messageSizes } from "../../policies/message_sizes.ts";
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
import { CommandError, EXIT } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { readModuleFile } from "../../policies/module_file.ts";
import { checkText } from "../../answers/policy_report.ts";
import type { Flags } from "../../program/flags.ts";
import { Op } from "../../../wasm/module/opcodes.ts";

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
      // The block type is an index, so the block takes values or gives several.
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
export interface ModuleFacts {
  readonly hooks: readonly Hook[];
  /** Each import as `module.name`. */
  readonly imports: readonly string[];
  readonly features: readonly Feature[];
  /** Number of functions that the module defines. */
  readonly functions: Bounded;
  /** Memory in pages of 64 KiB. */
  readonly memory_pages: { readonly initial: number; readonly maximum: number | null } | null;
  readonly table_entries: Bounded;
  readonly start_function: boolean;
  /** Compile cost of all its functions together. */
  readonly compile_cost: Bounded;
  /** Compile cost of its costliest function. */
  readonly function_compile_cost: Bounded;
  /** Fuel for making an instance, without its memory. */
  readonly instance_fuel: Bounded;
  /** Fuel for making an instance with its memory, which each new instance is charged. */
  readonly instance_fuel_with_memory: number;
}

/** What a module that is accepted does between calls. */
interface StateFacts {
  /** The version of the ABI that the module is for. */
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
  /** Length of the metered module. */
  readonly metered_bytes?: number;
  /** Time of the trial compilation with both compilers. */
  readonly compile_ms?: number;
  /** The keys under which it keeps state; absent when it keeps none. */
  readonly state?: readonly StateKeyFacts[];
  /** Which messages it decides about; absent when it is refused, or asked about none. */
  readonly message_sizes?: MessageSizes;
}

/** One slot of state, as the module declares it. */
interface StateKeyFacts {
  readonly key: string;
  readonly ttl_seconds: number;
  readonly value_bytes: number;
}

function stateFacts({ key, ttl_ms, value_bytes }: StateSlot): StateKeyFacts {
  return { key, ttl_seconds: ttl_ms / 1_000, value_bytes };
}

function factsOf(module: WasmModule): ModuleFacts {
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

/** Fuel for putting the first state back, with the memory that `arqon_init` leaves, where it does not fail. */
async function restoreFuel({ bytes, renewal, cost }: MeteredPolicy): Promise<number> {
  if (renewal?.by !== "restore") return cost.restore_fuel;
  const compiled = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  try {
    return Math.ceil(instantiateGuest({ compiled, renewal }).renewal_units / UNITS_PER_FUEL);
  } catch {
    return cost.restore_fuel;
  }
}

/**
 * Checks a module as a gateway with that memory limit does. Rejects when the trial compilation cannot be
 * made.
 */
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
export async function policyCheck(io: Io, file: string, flags: Flags): Promise<number> {
  const { overseer } = configFrom({}).platform;
  const bytes = await readModuleFile(io, file);
  const pages = flags.memoryLimitPages ?? overseer.memory_limit_pages;
  const answer = await check(io, file, bytes, pages);
  await print(io.stdout, flags.json === true ? `${JSON.stringify(answer)}\n` : checkText(answer));
  return answer.accepted ? EXIT.ok : EXIT.failure;
}
