/**
 * The units and the height of a metered instance as functions. An access to a `WebAssembly.Global` is a call out of
 * compiled code, with a BigInt for the units; the functions of a small second instance, which imports both globals,
 * are not. That instance costs as much as several calls, so it is made for an instance that is called repeatedly.
 */
import { FUEL_EXPORT, HEIGHT_EXPORT } from "../metering/meter_costs.ts";

/** The units of one instance. */
export interface FuelMeter {
  /** Begins a call with this many units, and no slots in use. */
  begin(units: number): void;
  /** Takes units for work of the host, also more than are left. Returns the units left; negative is exhausted. */
  charge(units: number): number;
  /** The units left; negative is exhausted. */
  left(): number;
  /** The slots in use; after a call that was ended, those of the calls that were in progress. */
  slots(): number;
}

/** Calls before the second instance is made. */
const FEW_CALLS = 8;

/** Imports `m.f` (mut i64) and `m.h` (mut i32); exports `begin` (f64), `charge` (f64 to f64), `left` (to f64). */
const QUICK = new WebAssembly.Module(Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  // Types: f64 to nothing, f64 to f64, nothing to f64.
  ...[1, 14, 3, 0x60, 1, 0x7c, 0, 0x60, 1, 0x7c, 1, 0x7c, 0x60, 0, 1, 0x7c],
  ...[2, 15, 2, 1, 0x6d, 1, 0x66, 3, 0x7e, 1, 1, 0x6d, 1, 0x68, 3, 0x7f, 1],
  ...[3, 4, 3, 0, 1, 2],
  ...[7, 25, 3, 5, ...[0x62, 0x65, 0x67, 0x69, 0x6e], 0, 0],
  ...[6, ...[0x63, 0x68, 0x61, 0x72, 0x67, 0x65], 0, 1, 4, ...[0x6c, 0x65, 0x66, 0x74], 0, 2],
  ...[10, 35, 3],
  // begin: fuel = i64.trunc_sat_f64_s(units), height = 0.
  ...[12, 0, 0x20, 0, 0xfc, 6, 0x24, 0, 0x41, 0, 0x24, 1, 0x0b],
  // charge: fuel -= i64.trunc_sat_f64_s(units), and as left.
  ...[14, 0, 0x23, 0, 0x20, 0, 0xfc, 6, 0x7d, 0x24, 0, 0x23, 0, 0xb9, 0x0b],
  // left: f64.convert_i64_s(fuel).
  ...[5, 0, 0x23, 0, 0xb9, 0x0b],
]));

type Quick = Pick<FuelMeter, "begin" | "charge" | "left">;

/** An exported global; TypeScript's types of WebAssembly know no value types. */
interface Variable<T extends number | bigint> {
  value: T;
}

function quickFunctions(f: WebAssembly.Global, h: WebAssembly.Global): Quick {
  return new WebAssembly.Instance(QUICK, { m: { f, h } }).exports as unknown as Quick;
}

/** The meter of an instance of a metered module. Throws TypeError if the module is not metered. */
export function fuelMeter(exports: WebAssembly.Exports): FuelMeter {
  const { [FUEL_EXPORT]: f, [HEIGHT_EXPORT]: h } = exports;
  if (!(f instanceof WebAssembly.Global) || !(h instanceof WebAssembly.Global)) {
    throw new TypeError("the module is not metered");
  }
  const fuel = f as Variable<bigint>;
  const height = h as Variable<number>;
  let calls = 0;
  const meter: FuelMeter = {
    begin(units) {
      if (++calls > FEW_CALLS) {
        const { begin, charge, left } = quickFunctions(f, h);
        Object.assign(meter, { begin, charge, left });
        return begin(units);
      }
      fuel.value = BigInt(units);
      height.value = 0;
    },
    charge(units) {
      const left = fuel.value - BigInt(units);
      fuel.value = left;
      return Number(left);
    },
    left: () => Number(fuel.value),
    slots: () => height.value,
  };
  return meter;
}
