/**
 * The price of the host's work around a command, in units, the same as for policies. A command pays the same whatever
 * ran before it: one after which nothing can be restored pays for the next instance.
 */
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { restoreUnits } from "../../../wasm/metering/renewal.ts";

/** The most fuel that `arqon_init` may use. */
export const INIT_FUEL = 5_000;
const INIT_UNITS = INIT_FUEL * UNITS_PER_FUEL;

/** What the price of an instance depends on. */
export interface MadeInstance {
  /** Units that `arqon_init` used, growth of the memory included, and pages of the memory after it. */
  readonly init_units: number;
  readonly pages: number;
}

/** The price of the instances of one module. */
export class HostPrice {
  readonly failed_units: number;
  readonly #instance_units: number;
  readonly #renewal: MeteredModule["renewal"];

  constructor({ cost, renewal }: Pick<MeteredModule, "cost" | "renewal">) {
    this.#instance_units = cost.instance_fuel * UNITS_PER_FUEL;
    this.#renewal = renewal;
    // The units used are unknown if the engine ended it.
    this.failed_units = this.#instance_units + INIT_UNITS;
  }

  /** A command on an instance; `is_kept`: whether it is restored afterwards. */
  units({ init_units, pages }: MadeInstance, is_kept: boolean): number {
    const restored = this.#renewal?.by === "restore" ? restoreUnits(this.#renewal.units, pages) : 0;
    return restored +
      (is_kept ? 0 : this.#instance_units + init_units);
  }
}
