/**
 * The rate limit of the work that one tenant's rooms cause on a Brain: commands and timers are charged after they ran,
 * and while the tenant has a debt, its rooms wait. Calls are refused meanwhile.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { Counter } from "../../shared/metrics/metrics.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { createFuelBuckets, type FuelBuckets } from "../../shared/rates/fuel_bucket.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

/** The dependencies and settings of `TenantFuel`. */
interface TenantFuelOptions extends Pick<Env, "monotonic_ms"> {
  /** Fuel per second and tenant, currently. */
  readonly per_second: () => number;
  readonly used: Pick<Counter, "inc">;
  /** Ms until a tenant's timers that a budget blocks may ask again; 0, or absent: none are blocked. */
  readonly budgetWait?: (tenant_id: string) => number;
}

/** The share of a tenant's fuel for timers, so that its calls have the rest. */
const TIMERS_PART = 0.5;
const TENANTS_MAX = 4_096;
/** The burst of timers: many rooms have timers at the same time. */
const TIMERS_BURST_SECONDS = 0.25;
const TURNS_AHEAD_MS = 1_000;
/** The least cost of running a room's timers: a message of its log. */
const TURN_FUEL = 500;

/** The fuel of all tenants. */
export class TenantFuel {
  readonly #options: TenantFuelOptions;
  readonly #buckets: FuelBuckets;
  /** The fuel of timers, which also counts in the other bucket. */
  readonly #timers: FuelBuckets;
  readonly #timers_per_second = () => this.#options.per_second() * TIMERS_PART;
  /** When the next waiting room of a tenant may run its timers, monotonic ms. */
  readonly #turns = new BoundedMap<string, number>(TENANTS_MAX);

  constructor(options: TenantFuelOptions) {
    this.#options = options;
    this.#buckets = createFuelBuckets(options.per_second);
    this.#timers = createFuelBuckets(this.#timers_per_second, TENANTS_MAX, TIMERS_BURST_SECONDS);
  }

  /** Ms until the tenant's rooms may continue; 0: now. */
  wait(tenant_id: string): number {
    return this.#buckets.wait(tenant_id, this.#options.monotonic_ms());
  }

  timersWait(tenant_id: string): number {
    const now_ms = this.#options.monotonic_ms();
    const budget_ms = this.#options.budgetWait?.(tenant_id) ?? 0;
    return Math.max(this.wait(tenant_id), this.#timers.wait(tenant_id, now_ms), budget_ms);
  }

  /** Whether a budget blocks them, which may take days. */
  holdsTimers(tenant_id: string): boolean {
    return (this.#options.budgetWait?.(tenant_id) ?? 0) > 0;
  }

  /**
   * Ms until a room with blocked timers is to ask again: each of the tenant's rooms at another time, so that they do
   * not retry all at once.
   */
  timersTurn(tenant_id: string): number {
    const now_ms = this.#options.monotonic_ms();
    const soonest_ms = now_ms + this.timersWait(tenant_id);
    const next_ms = Math.min(this.#turns.get(tenant_id) ?? 0, soonest_ms + TURNS_AHEAD_MS);
    const at_ms = Math.max(soonest_ms, next_ms);
    this.#turns.renew(tenant_id, at_ms + TURN_FUEL / this.#timers_per_second() * 1_000);
    return at_ms - now_ms;
  }

  /** Records that charged units were used by timers. */
  spendTimers(tenant_id: string, units: number): void {
    this.#timers.spend(tenant_id, units / UNITS_PER_FUEL, this.#options.monotonic_ms());
  }

  /** Charges a tenant for used units. */
  spend(tenant_id: string, units: number): void {
    const fuel = units / UNITS_PER_FUEL;
    this.#options.used.inc(fuel);
    this.#buckets.spend(tenant_id, fuel, this.#options.monotonic_ms());
  }

  /** The refusal of a caller that would have to wait this long; the call is not queued. */
  refusal(retry_after_ms: number): ArqonError {
    const detail = `this tenant has ${this.#options.per_second()} fuel of reducers a second; ` +
      `retry after ${retry_after_ms} ms`;
    return new ArqonError("rate-limited", detail, { retry_after_ms });
  }
}
