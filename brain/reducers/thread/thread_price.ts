/**
 * The price of the worker's own work, in units (at most about a nanosecond each). Measured (V8 15, a core of 3.7 GHz):
 * an entry 5 to 15 µs; reading a state 30 µs, 1.3 to 2.8 µs for each value and 3.6 ns for each byte; writing it half of
 * that. Pure.
 */
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import type { RoomState } from "../state/room_state.ts";
import type { ShownPage } from "../visible/shown.ts";

/** Applying, digesting and packing an entry. */
export const ENTRY_UNITS = 15_000;
const STATE_UNITS = 40_000;
const VALUE_UNITS = 2_500;
const BYTE_UNITS = 4;
/** Compressing a byte at worst, for values with few different bytes. */
const PACKED_BYTE_UNITS = 48;

/** Reading values. */
export const pageUnits = ({ values }: ShownPage): number =>
  values.reduce(
    (units, [key, value]) => units + VALUE_UNITS + (key.length + (value?.length ?? 0)) * BYTE_UNITS,
    ENTRY_UNITS,
  );

type Sized = Pick<
  RoomState,
  "values" | "timers" | "remembered" | "size_bytes" | "remembered_bytes"
>;

/** Reading or writing a snapshot of a state. */
export function stateUnits(
  { values, timers, remembered, size_bytes, remembered_bytes }: Sized,
): number {
  const count = values.size + timers.size + remembered.size;
  return STATE_UNITS + count * VALUE_UNITS + (size_bytes + remembered_bytes) * BYTE_UNITS;
}

/** Compressing a snapshot. */
export const packUnits = ({ length }: Uint8Array): number => length * PACKED_BYTE_UNITS;

/** A unit is at most about a nanosecond. */
export const UNITS_PER_MS = 1_000_000;
/** Metering and compiling a module, and a byte of it: half a second for one of a MB. */
const COMPILE_UNITS = 1_000_000;
const COMPILE_BYTE_UNITS = 500;
/**
 * Of a function, and of a unit of its compile cost: a module of 77 KB with a thousand locals beside branches takes 140
 * ms, one of 150 KB with 10,000 functions 175 ms.
 */
const FUNCTION_UNITS = 10_000;
const COMPLEX_UNITS = 12;

/** Compiling a module, by what is known before; the ledger of use has this much. */
export const compileUnits = ({ bytes }: { readonly bytes: Uint8Array }): number =>
  bytes.length * COMPILE_BYTE_UNITS;

/** What is added once it is decoded. */
export const complexUnits = ({ functions, compile_cost }: MeteredModule["cost"]): number =>
  COMPILE_UNITS + functions * FUNCTION_UNITS + compile_cost * COMPLEX_UNITS;
