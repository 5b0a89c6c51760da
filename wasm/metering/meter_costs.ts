/**
 * What each instruction costs in units, and the numbers that the metered code carries. A unit is at
 * most as long as 1.25 dependent 32-bit multiplications of three cycles, about a nanosecond on a
 * server core, in the slower of the engine's two compilers and with the operands that processors are
 * slowest with; 500 units are one fuel. `deno task bench policy --only worst` holds every price to
 * that. Who pays when is in `meter_blocks.ts` and `meter_code.ts`.
 *
 * Calibrated on V8 15 (Deno 2.9.6) and an AMD core of 3.7 GHz, whole loops: a chain of loads in 4 MiB
 * 15 ns, stores across pages 23, `table.set` 36, `memory.fill` of nothing 128, an entry of
 * `table.fill` 24, of `table.init` 27, of `table.copy` 15. Intel cores hand a subnormal operand or
 * result of a multiplication, division, root or conversion between floats to microcode, which takes
 * about 150 cycles; their older ones take up to 95 for 64-bit division. What floats cost contains what
 * makes their NaNs canonical (`canonical_nan.ts`), also where it is left out.
 */
import { type Instruction, ValueType } from "../module/module.ts";
import { Op } from "../module/opcodes.ts";

/** Units in one fuel, the unit of `fuel_limit` and of metrics. */
export const UNITS_PER_FUEL = 500;
/**
 * How long a unit may take at most, in dependent 32-bit multiplications. 10,000 fuel, 5,000,000
 * units, are then at most 5 ms on a core that takes 0.8 ns for one, as those with 3.7 GHz do.
 */
export const MULTIPLICATIONS_PER_UNIT = 1.25;
/** Name of the appended exported global with the units left (mutable i64); negative is exhausted. */
export const FUEL_EXPORT = "arqon_fuel";
/** Name of the appended exported global with the slots in use (mutable i32). */
export const HEIGHT_EXPORT = "arqon_height";
/** Name of the appended function that saves the globals; see `renewal.ts`. */
export const SAVE_EXPORT = "arqon_save";
/** Name of the appended function that puts them back. */
export const RESTORE_EXPORT = "arqon_restore";

/**
 * Version of the transform. Part of the compile cache's key: any change of a price, a charge or the
 * code written for it is a new version.
 */
export const METER_VERSION = 5;

/** Units of entering a function, beside one for each parameter, local and result. */
export const ENTRY_UNITS = 4;
/** Units of calling any import, beside one for each byte that its length arguments name. */
export const IMPORT_UNITS = 1_000;

/**
 * Slots of 8 bytes that the calls in progress may hold together; see `frameSlots`. The engine's own
 * stack limit (about a megabyte) was never reached below 86,000 of them, in either compiler, on the
 * main thread or in a worker; so it is ours that decides, and the same everywhere.
 */
export const HEIGHT_LIMIT_SLOTS = 32_768;
/** Slots of a call itself: return address, frame pointer and what the engine keeps there. */
export const FRAME_SLOTS = 8;
/** A function that calls nothing and has at most this many slots does not count them. */
export const LEAF_SLOTS = 128;

/** The modules that the host's functions are imported from, one for each version of the ABI. */
export const HOST_MODULES: readonly string[] = ["arqon_host_v1", "arqon_host_v2"];
/**
 * Parameters of the host's functions that are lengths in bytes: each is one unit a byte, paid before the
 * call. What a call hands to the guest is not known then; the host takes that from
 * `arqon_fuel` itself.
 */
export const LENGTH_PARAMETERS: Readonly<Record<string, readonly number[]>> = {
  host_get_header: [1],
  host_get_claim: [1],
  host_get_payload: [],
  host_add_header: [1, 3],
  host_log: [2],
  host_reject: [2],
  host_set_payload: [1],
  host_state_get: [],
  host_state_set: [2],
  host_state_delete: [],
};

/** The module that the host's functions for reducers are imported from. */
export const ROOM_MODULE = "arqon_room_v1";
/** The same of the functions that reducers import. */
export const ROOM_LENGTH_PARAMETERS: Readonly<Record<string, readonly number[]>> = {
  room_field: [],
  room_claim: [1],
  room_now: [],
  room_offset: [],
  room_random: [],
  room_read: [1],
  room_write: [1, 3],
  room_delete: [1],
  room_scan: [1, 3],
  room_emit: [1, 3, 5],
  room_answer: [1],
  room_schedule: [1, 4, 6],
  room_unschedule: [1],
  room_log: [2],
  room_reject: [2],
};

/**
 * Price of the size operand of a bulk instruction, paid right before it runs and beside its base:
 * `entries << left`, then one for each begun `1 << right`. In i64, of the operand zero-extended.
 */
export interface SizeRate {
  readonly left: number;
  readonly right: number;
}

/** Bytes: one unit for 16. Pages: 8,192 units, for 16 page faults each. Table entries: 8 to 64. */
const SIZE_RATES: ReadonlyMap<number, SizeRate> = new Map([
  [Op.MEMORY_GROW, { left: 13, right: 0 }],
  [Op.MEMORY_INIT, { left: 0, right: 4 }],
  [Op.MEMORY_COPY, { left: 0, right: 4 }],
  [Op.MEMORY_FILL, { left: 0, right: 4 }],
  [Op.TABLE_INIT, { left: 5, right: 0 }],
  [Op.TABLE_COPY, { left: 4, right: 0 }],
  [Op.TABLE_GROW, { left: 6, right: 0 }],
  [Op.TABLE_FILL, { left: 5, right: 0 }],
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

function priceTable(): ReadonlyMap<number, number> {
  const table = new Map<number, number>();
  for (const [first, last] of PRICED) {
    for (let op = first; op <= last; op++) table.set(op, 1);
  }
  for (const [first, last, units] of PRICES) {
    for (let op = first; op <= last; op++) table.set(op, units);
  }
  return table;
}

const TABLE = priceTable();

/**
 * Units of one execution of `instruction`, without the price of a size operand; `undefined` forbids
 * it. `values` is what a branch carries, or what a block takes and gives: one unit each, since every
 * one may have to move.
 */
export function instructionUnits(instruction: Instruction, values: number): number | undefined {
  const base = TABLE.get(instruction.op);
  if (base === undefined || instruction.op !== Op.BR_TABLE) {
    return base === undefined ? undefined : base + values;
  }
  return base + values + (32 - Math.clz32(instruction.list.length));
}

/** The price of an instruction's size operand (its topmost), when it has one. */
export function sizeRate(op: number): SizeRate | undefined {
  return SIZE_RATES.get(op);
}

/**
 * Slots that one call of a function holds. `locals` are parameters and locals. One more for every 16
 * instructions: optimised code keeps values that it computes twice, and so more than it declares (a
 * function of 12,000 instructions and 2 locals: 550).
 */
export function frameSlots(locals: number, max_height: number, instructions: number): number {
  return FRAME_SLOTS + locals + max_height + (instructions >>> 4);
}

/** The lengths among an import's parameters; for one that is not the host's, none. */
export function lengthParameters(
  module: string,
  name: string,
  parameters: readonly ValueType[],
): readonly number[] {
  const of_room = module === ROOM_MODULE;
  if (!of_room && !HOST_MODULES.includes(module)) return [];
  const known = of_room ? ROOM_LENGTH_PARAMETERS : LENGTH_PARAMETERS;
  if (!Object.hasOwn(known, name)) return [];
  return (known[name] ?? []).filter((index) => parameters[index] === ValueType.I32);
}
