/**
 * The numbers that the metered code carries, and what is neither the price of an instruction (`prices.ts`)
 * nor that of an instance (`instance_cost.ts`). A unit is at most as long as 1.25 dependent 32-bit
 * multiplications of three cycles, about a nanosecond on a server core, in the slower of the engine's two
 * compilers and with the operands that processors are slowest with; 500 units are one fuel. Who pays when
 * is in `meter_blocks.ts` and `meter_code.ts`.
 */
import { ValueType } from "../module/module.ts";

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
 * code written for it is a new version. Logs of rooms are replayed with the prices of their time, so
 * those of earlier versions stay in `prices.ts`.
 */
export const METER_VERSION = 7;

/** Units of entering a function, beside one for each parameter, local and result. */
export const ENTRY_UNITS = 4;
/** Units of calling any import, beside one for each byte that its length arguments name. */
export const IMPORT_UNITS = 1_000;

/**
 * Slots of 8 bytes that the calls in progress may hold together; see `frameSlots`. The engine's own
 * stack limit (about a megabyte) was never reached below 86,000 of them, in either compiler, on the
 * main thread or in a worker; so our limit applies, and it is the same everywhere.
 */
export const HEIGHT_LIMIT_SLOTS = 32_768;
/** Slots of a call itself: return address, frame pointer and what the engine keeps there. */
export const FRAME_SLOTS = 8;
/** A function that calls nothing and has at most this many slots does not count them. */
export const LEAF_SLOTS = 128;

/** The modules that the host's functions are imported from, one for each version of the ABI. */
export const HOST_MODULES: readonly string[] = ["arqon_host_v1", "arqon_host_v2"];
/**
 * Parameters of the host's functions that are lengths in bytes: each costs one unit a byte, paid before the
 * call. The size of the result is not known then; the host takes its price from `arqon_fuel`.
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
