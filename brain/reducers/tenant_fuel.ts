/**
 * How much work the rooms of one tenant may cause in a second on one Brain: what their commands and timers cost is charged
 * after they have run, and while something is owed none of its rooms goes on. Whoever calls one then is refused.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { Counter } from "../../shared/metrics/metrics.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { createFuelBuckets, type FuelBuckets } from "../../shared/rates/fuel_bucket.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

/** What it needs. */
export interface TenantFuelOptions extends Pick<Env, "monotonic_ms"> {
  /** Fuel a second and tenant, as it is now. */
  readonly per_second: () => number;
  /** Counts fuel. */
  readonly used: Pick<Counter, "inc">;
  /** In how many ms timers of the tenant may ask again which a budget holds back; 0, or absent: none does. */
  readonly budgetWait?: (tenant_id: string) => number;
}

/** The part of a tenant's fuel that its timers may use, so that its calls have the other, and who shares the cores. */
const TIMERS_PART = 0.5;
/** Tenants that are remembered. */
const TENANTS_MAX = 4_096;
/** How much of it they may use at once: many rooms have their timers at one time. */
const TIMERS_BURST_SECONDS = 0.25;
/** How far ahead turns are given out. */
const TURNS_AHEAD_MS = 1_000;
/** What running some timers of a room costs at least: a message of its log. */
const TURN_FUEL = 500;

/** The fuel of all tenants. */
export class TenantFuel {
  readonly #options: TenantFuelOptions;
  readonly #buckets: FuelBuckets;
  /** What timers use, which is in the other one, too. */
  readonly #timers: FuelBuckets;
  readonly #timers_per_second = () => this.#options.per_second() * TIMERS_PART;
  /** When the next room of a tenant that has to wait may run its timers, monotonic ms. */
  readonly #turns = new BoundedMap<string, number>(TENANTS_MAX);

  constructor(options: TenantFuelOptions) {
    this.#options = options;
    this.#buckets = createFuelBuckets(options.per_second);
    this.#timers = createFuelBuckets(this.#timers_per_second, TENANTS_MAX, TIMERS_BURST_SECONDS);
  }

  /** In how many ms the tenant's rooms may go on; 0: now. */
  wait(tenant_id: string): number {
    return this.#buckets.wait(tenant_id, this.#options.monotonic_ms());
  }

  /** The same for their timers. */
  timersWait(tenant_id: string): number {
    const now_ms = this.#options.monotonic_ms();
    const budget_ms = this.#options.budgetWait?.(tenant_id) ?? 0;
    return Math.max(this.wait(tenant_id), this.#timers.wait(tenant_id, now_ms), budget_ms);
  }

  /** Whether a budget holds them back: that may take days. */
  holdsTimers(tenant_id: string): boolean {
    return (this.#options.budgetWait?.(tenant_id) ?? 0) > 0;
  }

  /**
   * In how many ms a room is to ask again whose timers have to wait: each of the tenant's at another time, so that they do
   * not all come at once.
   */
  timersTurn(tenant_id: string): number {
    const now_ms = this.#options.monotonic_ms();
    const soonest_ms = now_ms + this.timersWait(tenant_id);
    const next_ms = Math.min(this.#turns.get(tenant_id) ?? 0, soonest_ms + TURNS_AHEAD_MS);
    const at_ms = Math.max(soonest_ms, next_ms);
    this.#turns.renew(tenant_id, at_ms + TURN_FUEL / this.#timers_per_second() * 1_000);
    return at_ms - now_ms;
  }

  /** Takes note that units which are charged were used by timers. */
  spendTimers(tenant_id: string, units: number): void {
    this.#timers.spend(tenant_id, units / UNITS_PER_FUEL, this.#options.monotonic_ms());
  }

  /** Charges a tenant with units that were used for it. */
  spend(tenant_id: string, units: number): void {
    const fuel = units / UNITS_PER_FUEL;
    this.#options.used.inc(fuel);
    this.#buckets.spend(tenant_id, fuel, this.#options.monotonic_ms());
  }

  /** What whoever asks receives, when it has to wait so long; it is not done later. */
  refusal(retry_after_ms: number): ArqonError {
    const detail = `this tenant has ${this.#options.per_second()} fuel of reducers a second; ` +
      `retry after ${retry_after_ms} ms`;
    return new ArqonError("rate-limited", detail, { retry_after_ms });
  }
}
