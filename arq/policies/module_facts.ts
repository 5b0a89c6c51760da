/** The facts of a policy's module: what it uses, and what it costs of what it may. Pure. */
import { HOOKS } from "../../shared/records/verdict.ts";
import { INSTANCE_FUEL_MAX, instanceCost } from "../../wasm/metering/instance_cost.ts";
import { decodePolicy } from "../../wasm/metering/meter.ts";
import { blockCharges } from "../../wasm/metering/meter_blocks.ts";
import {
  compileCost,
  FUNCTION_COMPILE_COST,
  MODULE_COMPILE_COST,
} from "../../wasm/metering/meter_limits.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";
import { POLICY_LIMITS, ValueType, type WasmModule } from "../../wasm/module/module.ts";
import { Op } from "../../wasm/module/opcodes.ts";

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
export type ModuleFacts = ReturnType<typeof factsOf>;

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
export function knownFacts(bytes: Uint8Array): ModuleFacts | undefined {
  try {
    return factsOf(decodePolicy(bytes));
  } catch (error) {
    if (error instanceof PolicyModuleError) return undefined;
    throw error;
  }
}
