/**
 * What the thread does around a reducer, in units (at most about a nanosecond each). Measured (V8 15, a core of 3.7 GHz):
 * an entry 5 to 15 µs, reading a state 30 µs, 1.3 to 2.8 µs for each value and 3.6 ns for each byte, writing it half. Pure.
 */
import type { RoomState } from "../state/room_state.ts";
import type { ShownPage } from "../visible/shown.ts";

/** An entry that is applied, its digest and what it is packed as. */
export const ENTRY_UNITS = 15_000;
const STATE_UNITS = 40_000;
const VALUE_UNITS = 2_500;
const BYTE_UNITS = 4;
/** Compressing a byte at worst, of values that have few different ones. */
const PACKED_BYTE_UNITS = 32;

/** Values that are read. */
export const pageUnits = ({ values }: ShownPage): number =>
  values.reduce(
    (units, [key, value]) => units + VALUE_UNITS + (key.length + (value?.length ?? 0)) * BYTE_UNITS,
    ENTRY_UNITS,
  );

type Sized = Pick<
  RoomState,
  "values" | "timers" | "remembered" | "size_bytes" | "remembered_bytes"
>;

/** A state that is read from its snapshot, or written as one. */
export function stateUnits(
  { values, timers, remembered, size_bytes, remembered_bytes }: Sized,
): number {
  const count = values.size + timers.size + remembered.size;
  return STATE_UNITS + count * VALUE_UNITS + (size_bytes + remembered_bytes) * BYTE_UNITS;
}

/** A snapshot that is compressed for the store. */
export const packUnits = ({ length }: Uint8Array): number => length * PACKED_BYTE_UNITS;

/** A unit is at most about a nanosecond. */
export const UNITS_PER_MS = 1_000_000;
/** Metering and compiling a module, by the byte: half a second for one of a MB. */
const COMPILE_BYTE_UNITS = 500;

/** What compiling a module costs. */
export const compileUnits = ({ bytes }: { readonly bytes: Uint8Array }): number =>
  bytes.length * COMPILE_BYTE_UNITS;
