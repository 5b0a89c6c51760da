/**
 * What the host does around a command, in units, by the prices that policies have. A command pays the same whatever ran
 * before it: one that leaves nothing to be put back pays for the instance that the next one needs.
 */
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { restoreUnits } from "../../../wasm/metering/renewal.ts";

/** The most fuel that `arqon_init` may use. */
export const INIT_FUEL = 5_000;
const INIT_UNITS = INIT_FUEL * UNITS_PER_FUEL;

/** An instance, as far as its price goes. */
export interface MadeInstance {
  /** Units that `arqon_init` has used, growing the memory included, and pages of the memory behind it. */
  readonly init_units: number;
  readonly pages: number;
}

/** What the instances of one module cost. */
export class HostPrice {
  /** An instance whose beginning does not end well. */
  readonly failed_units: number;
  readonly #instance_units: number;
  readonly #renewal: MeteredModule["renewal"];

  constructor({ cost, renewal }: Pick<MeteredModule, "cost" | "renewal">) {
    this.#instance_units = cost.instance_fuel * UNITS_PER_FUEL;
    this.#renewal = renewal;
    // What it has used is not known where it was the machine that ended it.
    this.failed_units = this.#instance_units + INIT_UNITS;
  }

  /** Of a command on an instance, which is put back after it or not. */
  units({ init_units, pages }: MadeInstance, is_kept: boolean): number {
    const restored = this.#renewal?.by === "restore" ? restoreUnits(this.#renewal.units, pages) : 0;
    return restored +
      (is_kept ? 0 : this.#instance_units + init_units);
  }
}
