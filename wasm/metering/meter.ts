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
import { HEIGHT_LIMIT_SLOTS, UNITS_PER_FUEL } from "./meter_costs.ts";
import { checkedInstanceFuel } from "./instance_cost.ts";
import { rewriteModule } from "./meter_module.ts";
import { type Renewal, renewalOf, restoreUnits, writtenGlobals } from "./renewal.ts";
import { decodeModule } from "../module/decode.ts";
import { encodeModule } from "../module/encode.ts";
import { PolicyModuleError, WasmError } from "../module/errors.ts";
import { type ModuleLimits, POLICY_LIMITS, type WasmModule } from "../module/module.ts";

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
