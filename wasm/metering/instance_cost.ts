/**
 * The cost of creating an instance of a module, computed in advance from the work: looking up imports,
 * making objects for exports and tables, running initial values, filling tables and memory. The tenant is charged each
 * time, also after a trap, and a module that costs too much is refused. `prices.ts` has the cost of running code;
 * nothing is rewritten here.
 *
 * Calibrated on V8 15 (Deno 2.9.6) with the collector's share, rounded up: a bare instance 25 µs, an
 * export of a function of its own 740 ns, an import 670, a table 280, a table entry that a segment
 * fills 100 to 150, an entry that is empty 23, a global 130, a data segment 40, a byte of it 1.5, a type 45,
 * a function 60, and the first touch of 4 KiB of new memory 1.6 to 3.5 µs.
 */
import { RESTORE_EXPORT, SAVE_EXPORT, UNITS_PER_FUEL } from "./meter_costs.ts";
import { PAGE_SHIFT } from "./prices.ts";
import { PolicyModuleError } from "../module/errors.ts";
import { itemCount, type WasmModule } from "../module/module.ts";

/**
 * The most fuel that an instance may cost, without its memory, which has a separate limit
 * (`memory_limit_pages`): half the fuel of a call.
 */
export const INSTANCE_FUEL_MAX = 5_000;

/** Units of the work that every instance needs. */
const BASE_UNITS = 40_000;
const UNITS = {
  imports: 1_000,
  exports: 1_000,
  /** A character of an export's name, which becomes a property. */
  name_character: 1,
  functions: 64,
  types: 50,
  globals: 150,
  tables: 700,
  table_entry: 64,
  element_segments: 200,
  /** Also in a passive segment: the first `table.init` makes all of them, for the price of some. */
  element: 150,
  data_segments: 100,
  data_byte: 2,
  memory_page: 2 ** PAGE_SHIFT,
} as const;

/** Units of an instance by their use. */
interface InstanceCost {
  /** All together, in fuel, rounded up. */
  readonly fuel: number;
  /** Without the memory's pages. */
  readonly fuel_without_memory: number;
  /** The largest use of the latter, in words. */
  readonly mostly: string;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** Units by their use, with their counts in words. */
function parts(
  module: WasmModule,
  saved: readonly number[] | undefined,
): readonly (readonly [units: number, what: string])[] {
  const { imports, functions, types, tables, elements, data } = module;
  const added = saved === undefined ? [] : [SAVE_EXPORT, RESTORE_EXPORT];
  const exports = [...module.exports.map(({ name }) => name), ...added];
  const globals = module.globals.length + (saved?.length ?? 0);
  const entries = sum(tables.map(({ limits }) => limits.minimum));
  const filled = sum(elements.map(({ items }) => itemCount(items)));
  const names = sum(exports.map((name) => name.length));
  // A passive segment is copied, and paid for, by `memory.init`.
  const bytes = sum(data.map((one) => one.mode === "active" ? one.bytes.length : 0));
  return [
    [imports.length * UNITS.imports, `${imports.length} imports`],
    [exports.length * UNITS.exports + names * UNITS.name_character, `${exports.length} exports`],
    [functions.length * UNITS.functions, `${functions.length} functions`],
    [types.length * UNITS.types, `${types.length} types`],
    [globals * UNITS.globals, `${globals} globals`],
    [
      tables.length * UNITS.tables + entries * UNITS.table_entry,
      `${tables.length} tables with ${entries} entries`,
    ],
    [
      elements.length * UNITS.element_segments + filled * UNITS.element,
      `${elements.length} element segments with ${filled} entries`,
    ],
    [
      data.length * UNITS.data_segments + bytes * UNITS.data_byte,
      `${data.length} data segments with ${bytes} bytes`,
    ],
  ];
}

/**
 * The cost of an instance. `module` is as uploaded; the additions of metering to every module are in the base, and
 * `saved` is the number of globals that it saves in addition.
 */
export function instanceCost(module: WasmModule, saved?: readonly number[]): InstanceCost {
  const all = parts(module, saved);
  const units = BASE_UNITS + sum(all.map(([one]) => one));
  const pages = sum(module.memories.map(({ limits }) => limits.minimum));
  const [, mostly = ""] = all.reduce((most, one) => one[0] > most[0] ? one : most, [-1, ""]);
  return {
    fuel: Math.ceil((units + pages * UNITS.memory_page) / UNITS_PER_FUEL),
    fuel_without_memory: Math.ceil(units / UNITS_PER_FUEL),
    mostly,
  };
}

/**
 * The fuel of an instance.
 * @throws {PolicyModuleError} `instance-cost`, if that is too much.
 */
export function checkedInstanceFuel(module: WasmModule, saved?: readonly number[]): number {
  const { fuel, fuel_without_memory, mostly } = instanceCost(module, saved);
  if (fuel_without_memory <= INSTANCE_FUEL_MAX) return fuel;
  throw new PolicyModuleError(
    "instance-cost",
    `Making an instance of the module costs ${fuel_without_memory} fuel, mostly for its ${mostly}; ` +
      `at most ${INSTANCE_FUEL_MAX}, the memory not counted.`,
  );
}
