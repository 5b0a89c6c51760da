/**
 * The metering transform: from a module's bytes it makes a module that does the same, pays for
 * everything before it runs, and traps as soon as its fuel is exhausted. Pure: the same bytes and
 * options result in the same bytes. `abi_check.ts` decides whether the module is a policy (its imports and
 * exports); the host runs it.
 *
 * Guarantees for a metered module:
 * 1. No instruction runs that has not been paid for from `arqon_fuel`. When that falls below zero the
 *    module traps (`unreachable`) and leaves it there; a trap for another reason leaves it at or above
 *    zero, with the rest of the block in which it happened paid for.
 * 2. The same module, instance state, input and fuel use the same fuel, to the unit. The one exception
 *    is an engine that runs out of its own stack below `height_limit_slots`: see `meter_costs.ts`.
 * 3. A NaN that arithmetic produces is the canonical one, whatever engine or compiler runs the module: see
 *    `meter_code.ts`.
 * 4. With `renewed`, and without an instruction that only a fresh instance undoes,
 *    `arqon_restore` sets the globals to their values at `arqon_save`, to the bit: see `renewal.ts`.
 * 5. Recursion traps once the calls in progress hold more than `height_limit_slots`, with
 *    `arqon_height` left above that.
 */
import {
  FUEL_EXPORT,
  HEIGHT_EXPORT,
  HEIGHT_LIMIT_SLOTS,
  lengthParameters,
  RESTORE_EXPORT,
  SAVE_EXPORT,
  UNITS_PER_FUEL,
} from "./meter_costs.ts";
import { checkedInstanceFuel } from "./instance_cost.ts";
import { renewalOf, restoreUnits, savedGlobals, writtenGlobals } from "./renewal.ts";
import type { Renewal, SavedGlobals } from "./renewal.ts";
import { decodeModule } from "../module/decode.ts";
import { encodeModule } from "../module/encode.ts";
import { PolicyModuleError, WasmError } from "../module/errors.ts";
import { importCounts, instruction, NO_FACTS, POLICY_LIMITS, ValueType } from "../module/module.ts";
import type {
  ConstExpression,
  ElementSegment,
  Export,
  FunctionBody,
  FunctionType,
  Import,
  Instruction,
  Limits,
  ModuleLimits,
  WasmModule,
} from "../module/module.ts";
import { type BlockCharge, blockCharges } from "./meter_blocks.ts";
import { Charges, type CodeTarget, meterBody, thunkCode } from "./meter_code.ts";
import { checkCompileCost, compileCost, limitMemory, limitTables } from "./meter_limits.ts";
import { memoryMaximum, sizeLimits } from "./meter_sizes.ts";
import { type Prices, pricesOf } from "./prices.ts";
import { EMPTY_BLOCK, Op } from "../module/opcodes.ts";

/** The options of `rewriteModule`; see `MeterOptions` in `meter.ts`. */
interface RewriteOptions {
  readonly memory_limit_pages: number;
  readonly initial_fuel_units: bigint;
  readonly height_limit_slots: number;
  readonly table_entries: number;
  /** The globals that two appended functions save and restore; absent: there are no such functions. */
  readonly saved_globals?: readonly number[] | undefined;
  readonly price_version?: number | undefined;
}

/** A metered module and the cost of compiling it. */
interface RewrittenModule {
  readonly module: WasmModule;
  readonly compile_cost: number;
}

interface ImportedFunction {
  readonly entry: Import;
  readonly type: number;
}

function importedFunctions(module: WasmModule): readonly ImportedFunction[] {
  return module.imports.flatMap((entry) =>
    entry.description.kind === "function" ? [{ entry, type: entry.description.type }] : []
  );
}

/** The type list, followed by the types that multi-value results need. */
class Types {
  readonly list: FunctionType[];
  /** Index of the first type without parameters, by its results. */
  readonly #by_results = new Map<string, number>();

  constructor(types: readonly FunctionType[]) {
    this.list = [...types];
    types.forEach(({ parameters, results }, index) => {
      const key = results.join();
      if (parameters.length > 0 || this.#by_results.has(key)) return;
      this.#by_results.set(key, index);
    });
  }

  /** The block type of a block without parameters and with `results`. */
  resultBlock(results: readonly ValueType[]): number {
    const [only] = results;
    if (only === undefined) return EMPTY_BLOCK;
    if (results.length === 1) return only - 0x80;
    return this.withoutParameters(results);
  }

  /** The type of a function without parameters. */
  withoutParameters(results: readonly ValueType[]): number {
    const key = results.join();
    const found = this.#by_results.get(key);
    if (found !== undefined) return found;
    this.list.push({ parameters: [], results });
    this.#by_results.set(key, this.list.length - 1);
    return this.list.length - 1;
  }
}

function redirectExpression(
  expression: ConstExpression,
  redirect: CodeTarget["redirect"],
): ConstExpression {
  return expression.map((one) =>
    one.op === Op.REF_FUNC ? instruction(one.op, redirect(one.a)) : one
  );
}

function redirectElement(
  segment: ElementSegment,
  redirect: CodeTarget["redirect"],
): ElementSegment {
  const { items } = segment;
  return {
    ...segment,
    items: items.kind === "functions"
      ? { kind: items.kind, indices: items.indices.map(redirect) }
      : {
        kind: items.kind,
        expressions: items.expressions.map((one) => redirectExpression(one, redirect)),
      },
  };
}

function reservedNames({ saved_globals }: RewriteOptions): readonly string[] {
  const always = [FUEL_EXPORT, HEIGHT_EXPORT];
  return saved_globals === undefined ? always : [...always, SAVE_EXPORT, RESTORE_EXPORT];
}

/** The old exports, redirected, and the new ones. Refuses a guest that has one of their names. */
function exportsOf(
  module: WasmModule,
  target: CodeTarget,
  options: RewriteOptions,
): readonly Export[] {
  const reserved = reservedNames(options);
  for (const { name } of module.exports) {
    if (!reserved.includes(name)) continue;
    throw new PolicyModuleError("reserved-export", `The export name "${name}" is reserved.`);
  }
  const old = module.exports.map((one) =>
    one.kind === "function" ? { ...one, index: target.redirect(one.index) } : one
  );
  const first = importCounts(module).function * 2 + module.functions.length;
  const functions = reserved.slice(2).map((name, at): Export => ({
    name,
    kind: "function",
    index: first + at,
  }));
  return [
    ...old,
    { name: FUEL_EXPORT, kind: "global", index: target.fuel },
    { name: HEIGHT_EXPORT, kind: "global", index: target.height },
    ...functions,
  ];
}

function written(type: number, code: readonly Instruction[]): FunctionBody {
  return { type, locals: [], code, facts: NO_FACTS };
}

/** The functions that save and restore the globals, and what they need; empty if none is requested. */
function saving(
  module: WasmModule,
  types: Types,
  target: CodeTarget,
  { saved_globals }: RewriteOptions,
): { readonly globals: SavedGlobals["globals"]; readonly functions: readonly FunctionBody[] } {
  if (saved_globals === undefined) return { globals: [], functions: [] };
  const { globals, save, restore } = savedGlobals(module, saved_globals, target.height + 1);
  const type = types.withoutParameters([]);
  return { globals, functions: [written(type, save), written(type, restore)] };
}

function thunk(target: CodeTarget, imported: ImportedFunction, import_index: number): FunctionBody {
  const { module, name } = imported.entry;
  const parameters = target.types[imported.type]?.parameters ?? [];
  const lengths = lengthParameters(module, name, parameters);
  return written(imported.type, thunkCode(target.charges, import_index, parameters, lengths));
}

/** The charges of every defined function, and the cost of compiling them with the charges. */
function checkedCharges(module: WasmModule, prices: Prices): {
  readonly charges: readonly (readonly BlockCharge[])[];
  readonly compile_cost: number;
} {
  const first = importCounts(module).function;
  let spent = 0;
  const charges = module.functions.map((body, at) => {
    const found = blockCharges(module, body, prices);
    const cost = compileCost(module, body, found);
    checkCompileCost(cost, spent, first + at);
    spent += cost;
    return found;
  });
  return { charges, compile_cost: spent };
}

/** The limits of memories and tables in the metered module. */
interface Room {
  readonly memories: readonly Limits[];
  readonly tables: readonly Limits[];
}

function codeTarget(
  module: WasmModule,
  types: Types,
  room: Room,
  prices: Prices,
  options: RewriteOptions,
): CodeTarget {
  const counts = importCounts(module);
  const globals = counts.global + module.globals.length;
  const functions = counts.function + module.functions.length;
  return {
    types: types.list,
    prices,
    fuel: globals,
    charges: new Charges(globals),
    height: globals + 1,
    height_limit_slots: options.height_limit_slots,
    redirect: (index) => index < counts.function ? functions + index : index,
    sizeLimit: sizeLimits(module, room.memories, room.tables),
    resultBlock: (results) => types.resultBlock(results),
  };
}

/** The metered module. Throws `PolicyModuleError` if it exceeds a limit. */
function rewriteModule(module: WasmModule, options: RewriteOptions): RewrittenModule {
  const tables = limitTables(module, options.table_entries);
  const memories = module.memories.map(({ limits }) =>
    limitMemory(limits, options.memory_limit_pages)
  );
  const prices = pricesOf(memoryMaximum(module, memories), options.price_version);
  const { charges, compile_cost } = checkedCharges(module, prices);
  const types = new Types(module.types);
  const target = codeTarget(module, types, { memories, tables }, prices, options);
  const imported = importedFunctions(module);
  const functions = module.functions.map((body, at): FunctionBody => ({
    ...body,
    ...meterBody(target, body, charges[at] ?? []),
  }));
  const saved = saving(module, types, target, options);
  const { I32, I64 } = ValueType;
  const fuel = [instruction(Op.I64_CONST, 0, 0, options.initial_fuel_units)];
  const rewritten: WasmModule = {
    ...module,
    types: types.list,
    functions: [
      ...functions,
      ...imported.map((one, at) => thunk(target, one, at)),
      ...saved.functions,
    ],
    tables: module.tables.map((table, at) => ({ ...table, limits: tables[at] ?? table.limits })),
    memories: module.memories.map((memory, at) => ({
      ...memory,
      limits: memories[at] ?? memory.limits,
    })),
    globals: [
      ...module.globals.map((one) => ({
        ...one,
        init: redirectExpression(one.init, target.redirect),
      })),
      { type: I64, mutable: true, init: fuel, offset: 0 },
      { type: I32, mutable: true, init: [instruction(Op.I32_CONST)], offset: 0 },
      ...saved.globals,
    ],
    exports: exportsOf(module, target, options),
    start: module.start === undefined ? undefined : target.redirect(module.start),
    elements: module.elements.map((segment) => redirectElement(segment, target.redirect)),
  };
  return { module: rewritten, compile_cost };
}

/** How to meter. */
export interface MeterOptions {
  /** Greatest size of the memory, in pages of 64 KiB; a larger or missing maximum becomes this. */
  readonly memory_limit_pages: number;
  /**
   * Units of a fresh instance, so that a start function pays too; absent: 0, with which a
   * start function traps at once.
   */
  readonly initial_fuel_units?: bigint;
  /** Slots that the calls in progress may use together; absent: `HEIGHT_LIMIT_SLOTS`. */
  readonly height_limit_slots?: number;
  /** Static limits; absent: those for policies. */
  readonly limits?: ModuleLimits;
  /** Whether each call begins with the state after initialisation. */
  readonly renewed?: boolean;
  /** The version of the prices, to replay records of an earlier one; absent: `METER_VERSION`. */
  readonly price_version?: number | undefined;
}

/** Facts about a module, for people and for `arq policy check`. */
interface ModuleCost {
  readonly size_bytes: number;
  readonly metered_bytes: number;
  /** Functions that the module defines. */
  readonly functions: number;
  /** Sum over the functions of (locals + operand height) × control constructs. */
  readonly compile_cost: number;
  /** Fuel for creating an instance, each time. */
  readonly instance_fuel: number;
  /**
   * Fuel for restoring an instance's first state, with the memory that the module declares: `arqon_init`
   * may add to it; 0 if instances are never restored.
   */
  readonly restore_fuel: number;
}

/** A metered module. */
export interface MeteredModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly imports: readonly string[];
  readonly cost: ModuleCost;
  /** How each call begins with the state after initialisation; undefined: state lives between calls. */
  readonly renewal: Renewal | undefined;
}

/**
 * Decodes and validates.
 * @throws {PolicyModuleError} `module-malformed`, `module-invalid`, `module-unsupported` or
 * `module-limit`, with the `WasmError` as cause.
 */
export function decodePolicy(bytes: Uint8Array, limits: ModuleLimits = POLICY_LIMITS): WasmModule {
  try {
    return decodeModule(bytes, limits);
  } catch (error) {
    if (!(error instanceof WasmError)) throw error;
    const sentence = `The module is refused: ${error.message}.`;
    throw new PolicyModuleError(`module-${error.kind}`, sentence, { cause: error });
  }
}

function restoreFuel(module: WasmModule, renewal: Renewal | undefined): number {
  if (renewal?.by !== "restore") return 0;
  const pages = module.memories.reduce((sum, { limits }) => sum + limits.minimum, 0);
  return Math.ceil(restoreUnits(renewal.units, pages) / UNITS_PER_FUEL);
}

/** Meters a decoded module. Throws as `meter` does. */
export function meterModule(module: WasmModule, options: MeterOptions): MeteredModule {
  const written = options.renewed === true ? writtenGlobals(module) : undefined;
  const renewal = written && renewalOf(module, written);
  const saved_globals = renewal?.by === "restore" ? written : undefined;
  const instance_fuel = checkedInstanceFuel(module, saved_globals);
  const { module: metered, compile_cost } = rewriteModule(module, {
    memory_limit_pages: options.memory_limit_pages,
    initial_fuel_units: options.initial_fuel_units ?? 0n,
    height_limit_slots: options.height_limit_slots ?? HEIGHT_LIMIT_SLOTS,
    table_entries: options.limits?.table_entries ?? POLICY_LIMITS.table_entries,
    saved_globals,
    price_version: options.price_version,
  });
  const bytes = Uint8Array.from(encodeModule(metered));
  return {
    bytes,
    imports: module.imports.map((entry) => `${entry.module}.${entry.name}`),
    cost: {
      size_bytes: module.size_bytes,
      metered_bytes: bytes.length,
      functions: module.functions.length,
      compile_cost,
      instance_fuel,
      restore_fuel: restoreFuel(module, renewal),
    },
    renewal,
  };
}

/**
 * Meters a module.
 * @throws {PolicyModuleError} what `decodePolicy` throws; `instance-cost`, `compile-cost`,
 * `memory-limit`, `table-limit`, `reserved-export`. Nothing else, whatever the bytes are.
 */
export function meter(bytes: Uint8Array, options: MeterOptions): MeteredModule {
  return meterModule(decodePolicy(bytes, options.limits), options);
}
