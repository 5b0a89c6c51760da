/**
 * Rebuilds a decoded module around its metered code: an appended thunk for every imported function, to which
 * all uses of the import are redirected; the two appended globals and their exports; memory and tables within
 * their limits. Indices of the old module do not change. Prices and blocks are decided elsewhere; this file does
 * not look at the imports' meaning.
 */
import { type BlockCharge, blockCharges } from "./meter_blocks.ts";
import { Charges, type CodeTarget, meterBody, thunkCode } from "./meter_code.ts";
import { FUEL_EXPORT, HEIGHT_EXPORT, lengthParameters } from "./meter_costs.ts";
import { RESTORE_EXPORT, SAVE_EXPORT } from "./meter_costs.ts";
import { checkCompileCost, compileCost, limitMemory, limitTables } from "./meter_limits.ts";
import { memoryMaximum, sizeLimits } from "./meter_sizes.ts";
import { type Prices, pricesOf } from "./prices.ts";
import { type SavedGlobals, savedGlobals } from "./renewal.ts";
import { PolicyModuleError } from "../module/errors.ts";
import {
  type ConstExpression,
  type ElementSegment,
  type Export,
  type FunctionBody,
  type FunctionType,
  type Import,
  importCounts,
  type Instruction,
  instruction,
  type Limits,
  NO_FACTS,
  ValueType,
  type WasmModule,
} from "../module/module.ts";
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
export function rewriteModule(module: WasmModule, options: RewriteOptions): RewrittenModule {
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
