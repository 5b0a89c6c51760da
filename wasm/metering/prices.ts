/**
 * The price of each instruction in units, by the version of the prices and the largest size of the memory.
 * `deno task bench policy --only worst` checks every price against the promise of a unit
 * (`meter_costs.ts`).
 *
 * Calibrated on V8 15 (Deno 2.9.6) and an AMD core of 3.7 GHz, whole loops: a chain of loads in 4 MiB
 * 15 ns, stores across pages 23, `table.set` 36, `memory.fill` of nothing 128, an entry of
 * `table.fill` 24, of `table.init` 27, of `table.copy` 28 where there are functions. Intel cores hand a
 * subnormal operand or result of a multiplication, division, root or conversion between floats to
 * microcode, which takes about 150 cycles; their older ones take up to 95 for 64-bit division. The
 * prices of floats include the code that makes their NaNs canonical (`meter_code.ts`), also where it is omitted.
 */
import { METER_VERSION } from "./meter_costs.ts";
import type { Instruction } from "../module/module.ts";
import { Op } from "../module/opcodes.ts";

/**
 * Price of the size operand of a bulk instruction, paid right before it runs and beside its base:
 * `entries << left`, then one for each begun `1 << right`. In i64, of the operand zero-extended.
 */
export interface SizeRate {
  readonly left: number;
  readonly right: number;
}

/** Prices of the instructions of one module. */
export interface Prices {
  /** Units by opcode; other opcodes are refused. */
  readonly units: ReadonlyMap<number, number>;
  /** Of size operands, by opcode. */
  readonly sizes: ReadonlyMap<number, SizeRate>;
}

/**
 * Units of a page of 64 KiB, as a power of two: 16 page faults. Its first access is paid when the page is
 * created, since no instruction can know that it is the first.
 */
export const PAGE_SHIFT = 16;

/** Table entries: 32 to 64 units. Bytes of memory are by its class. */
const SIZE_RATES: readonly (readonly [op: number, rate: SizeRate])[] = [
  [Op.MEMORY_GROW, { left: PAGE_SHIFT, right: 0 }],
  [Op.TABLE_INIT, { left: 5, right: 0 }],
  [Op.TABLE_COPY, { left: 5, right: 0 }],
  [Op.TABLE_GROW, { left: 6, right: 0 }],
  [Op.TABLE_FILL, { left: 5, right: 0 }],
];

/** The factor for loads and stores in a memory of up to this many pages. */
interface MemoryClass {
  readonly most_pages: number;
  readonly loads: number;
  readonly stores: number;
  /** Of bulk instructions: the bytes per unit, as a power of two. */
  readonly bytes_shift: number;
}

/**
 * By the share of the memory that caches, and then address translation, cover. Measured, on a core whose
 * third-level cache has 32 MiB: a chain of loads takes 16 ns in 8 MiB, 30 in 16, 110 to 200 in 64, 250 to 360
 * in 512 and more; stores across pages 24, 24, 24 and 54; 16 bytes of a copy 0.7, 0.9, 1.5 and 1.5. Data
 * that others evict from the caches costs more than the first class says: docs/policies.md#what-a-unit-promises.
 */
const MEMORY_CLASSES: readonly MemoryClass[] = [
  { most_pages: 128, loads: 1, stores: 1, bytes_shift: 4 },
  { most_pages: 1_024, loads: 16, stores: 1, bytes_shift: 3 },
  { most_pages: Infinity, loads: 32, stores: 3, bytes_shift: 3 },
];

/** Prices that differed in an earlier version. */
interface OlderPrices {
  readonly sizes: typeof SIZE_RATES;
  readonly classes: readonly MemoryClass[];
}

/** The versions whose logs can be replayed, beside this one. */
const OLDER: ReadonlyMap<number, OlderPrices> = new Map([
  [5, {
    sizes: [[Op.MEMORY_GROW, { left: 13, right: 0 }], [Op.TABLE_COPY, { left: 4, right: 0 }]],
    classes: [{ most_pages: Infinity, loads: 1, stores: 1, bytes_shift: 4 }],
  }],
  // Policies pay less for headers that they add.
  [6, { sizes: [], classes: MEMORY_CLASSES }],
]);

/** Prices that are not 1, as [first opcode, last opcode, units]. */
const PRICES: readonly (readonly [first: number, last: number, units: number])[] = [
  [Op.BLOCK, Op.LOOP, 0],
  [Op.ELSE, Op.ELSE, 0],
  [Op.END, Op.END, 0],
  [Op.IF, Op.IF, 2],
  [Op.BR, Op.BR_IF, 2],
  [Op.BR_TABLE, Op.BR_TABLE, 3],
  [Op.RETURN, Op.RETURN, 2],
  [Op.CALL, Op.CALL, 3],
  [Op.CALL_INDIRECT, Op.CALL_INDIRECT, 6],
  [Op.TABLE_GET, Op.TABLE_GET, 4],
  [Op.TABLE_SET, Op.TABLE_SET, 40],
  [Op.I32_LOAD, Op.I64_STORE32, 20],
  [0x2c, 0x2d, 14], // i32.load8
  [0x30, 0x31, 14], // i64.load8
  [0x3a, 0x3a, 3], // i32.store8
  [0x3c, 0x3c, 3], // i64.store8
  [Op.MEMORY_GROW, Op.MEMORY_GROW, 100],
  [0x6d, 0x70, 10], // i32 division and remainder
  [0x7f, 0x82, 32], // i64 division and remainder
  [0x8d, 0x90, 5], // f32 rounding
  [0x91, 0x91, 64], // f32.sqrt
  [0x92, 0x93, 3], // f32.add, sub
  [0x94, 0x95, 64], // f32.mul, div
  [0x96, 0x97, 7], // f32.min, max
  [0x98, 0x98, 5], // f32.copysign
  [0x9b, 0x9e, 5], // f64 rounding
  [0x9f, 0x9f, 64], // f64.sqrt
  [0xa0, 0xa1, 3], // f64.add, sub
  [0xa2, 0xa3, 64], // f64.mul, div
  [0xa4, 0xa5, 7], // f64.min, max
  [0xa6, 0xa6, 5], // f64.copysign
  [0xa8, 0xab, 4], // float to i32
  [0xae, 0xb5, 4], // float to i64, integer to f32
  [0xb6, 0xb6, 64], // f32.demote_f64
  [0xb7, 0xba, 4], // integer to f64
  [0xbb, 0xbb, 64], // f64.promote_f32
  [Op.REF_FUNC, Op.REF_FUNC, 4],
  [0xfc00, 0xfc07, 6], // saturating float to integer
  [Op.MEMORY_INIT, Op.MEMORY_INIT, 50],
  [Op.DATA_DROP, Op.DATA_DROP, 5],
  [Op.MEMORY_COPY, Op.MEMORY_COPY, 50],
  [Op.MEMORY_FILL, Op.MEMORY_FILL, 150],
  [Op.TABLE_INIT, Op.TABLE_INIT, 50],
  [Op.ELEM_DROP, Op.ELEM_DROP, 5],
  [Op.TABLE_COPY, Op.TABLE_COPY, 30],
  [Op.TABLE_GROW, Op.TABLE_GROW, 50],
  [Op.TABLE_FILL, Op.TABLE_FILL, 30],
];

/** Runs of opcodes that have a price at all; what is in none of them is refused. */
const PRICED: readonly (readonly [first: number, last: number])[] = [
  [Op.UNREACHABLE, Op.ELSE],
  [Op.END, Op.CALL_INDIRECT],
  [Op.DROP, Op.SELECT_TYPED],
  [Op.LOCAL_GET, Op.TABLE_SET],
  [Op.I32_LOAD, 0xc4],
  [Op.REF_NULL, Op.REF_FUNC],
  [0xfc00, Op.TABLE_FILL],
];

/** First and last opcodes of what moves values from memory and to it. */
const LOADS = [Op.I32_LOAD, Op.I64_LOAD32_U] as const;
const STORES = [Op.I32_STORE, Op.I64_STORE32] as const;
const BULK_BYTES: readonly number[] = [Op.MEMORY_INIT, Op.MEMORY_COPY, Op.MEMORY_FILL];

function unitTable({ loads, stores }: MemoryClass): ReadonlyMap<number, number> {
  const table = new Map<number, number>();
  for (const [first, last] of PRICED) {
    for (let op = first; op <= last; op++) table.set(op, 1);
  }
  for (const [first, last, units] of PRICES) {
    for (let op = first; op <= last; op++) table.set(op, units);
  }
  for (const [[first, last], times] of [[LOADS, loads], [STORES, stores]] as const) {
    for (let op = first; op <= last; op++) table.set(op, table.get(op)! * times);
  }
  return table;
}

function sizeTable(
  older: OlderPrices | undefined,
  { bytes_shift }: MemoryClass,
): ReadonlyMap<number, SizeRate> {
  const table = new Map([...SIZE_RATES, ...older?.sizes ?? []]);
  for (const op of BULK_BYTES) table.set(op, { left: 0, right: bytes_shift });
  return table;
}

/** The tables that were made, by version and class. */
const made = new Map<string, Prices>();

/** Whether a module can be metered by the prices of this version. */
export function isPriceVersion(version: number): boolean {
  return version === METER_VERSION || OLDER.has(version);
}

/** The prices for a module whose memory may have `most_pages` pages. */
export function pricesOf(most_pages: number, version: number = METER_VERSION): Prices {
  if (!isPriceVersion(version)) throw new TypeError(`prices of version ${version}`);
  const older = OLDER.get(version);
  const found = (older?.classes ?? MEMORY_CLASSES).find((one) => most_pages <= one.most_pages)!;
  const key = `${version} ${found.most_pages}`;
  // Browsers replay, too, and older ones lack `getOrInsertComputed`.
  let prices = made.get(key);
  if (prices === undefined) {
    prices = { units: unitTable(found), sizes: sizeTable(older, found) };
    made.set(key, prices);
  }
  return prices;
}

/** The prices for a module whose memory fits the caches. */
const USUAL = pricesOf(0);

/**
 * Units of one execution of `instruction`, without the price of a size operand; `undefined` forbids
 * it. `values` is what a branch carries, or what a block takes and gives: one unit each, since every
 * one may have to move.
 */
export function instructionUnits(
  instruction: Instruction,
  values: number,
  prices: Prices = USUAL,
): number | undefined {
  const base = prices.units.get(instruction.op);
  if (base === undefined || instruction.op !== Op.BR_TABLE) {
    return base === undefined ? undefined : base + values;
  }
  return base + values + (32 - Math.clz32(instruction.list.length));
}

/** The price of an instruction's size operand (its topmost), when it has one. */
export function sizeRate(op: number, prices: Prices = USUAL): SizeRate | undefined {
  return prices.sizes.get(op);
}
