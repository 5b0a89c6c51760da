/**
 * Limits the work that a tenant may cause in a second, by policies or reducers (fuel) or filters (steps), as plain data
 * and arithmetic. The cost of a call is only known after it, so it is charged then and the level may become negative:
 * the debt is worked off before the next call. Time is an argument; nothing here waits.
 */
import { BoundedMap } from "../containers/bounded_map.ts";

/** A bucket of fuel. It fills at `per_second`, up to `burst_seconds` of it, in the units of `fuel_limit`. */
export interface FuelBucket {
  per_second: number;
  readonly burst_seconds: number;
  fuel: number;
  updated_ms: number;
}

const BURST_SECONDS = 2;

/** A full bucket. */
export function createFuelBucket(
  per_second: number,
  now_ms: number,
  burst_seconds = BURST_SECONDS,
): FuelBucket {
  return { per_second, burst_seconds, fuel: per_second * burst_seconds, updated_ms: now_ms };
}

/** Fills the bucket up to now. A clock that goes backwards adds nothing. */
function refill(bucket: FuelBucket, now_ms: number): void {
  const elapsed_ms = Math.max(now_ms - bucket.updated_ms, 0);
  bucket.updated_ms = now_ms;
  const filled = bucket.fuel + elapsed_ms / 1_000 * bucket.per_second;
  bucket.fuel = Math.min(bucket.per_second * bucket.burst_seconds, filled);
}

/** Whether a call may run now: nothing is owed. */
export function hasFuel(bucket: FuelBucket, now_ms: number): boolean {
  refill(bucket, now_ms);
  return bucket.fuel > 0;
}

/** In how many ms nothing is owed any longer; 0: a call may run now. */
function fuelWait(bucket: FuelBucket, now_ms: number): number {
  if (hasFuel(bucket, now_ms)) return 0;
  return Math.max(1, Math.ceil(-bucket.fuel / bucket.per_second * 1_000));
}

/** Charges the cost of a call. */
export function spendFuel(bucket: FuelBucket, fuel: number, now_ms: number): void {
  refill(bucket, now_ms);
  bucket.fuel -= fuel;
}

/** The buckets of a process. */
export interface FuelBuckets {
  /** Whether the tenant may run a call now. */
  has(tenant_id: string, now_ms: number): boolean;
  /** The wait before its next call, in ms; 0: none. */
  wait(tenant_id: string, now_ms: number): number;
  /** Charges a tenant with the cost of a call. */
  spend(tenant_id: string, fuel: number, now_ms: number): void;
  /** How many tenants are remembered. */
  readonly size: number;
}

/**
 * Creates the buckets of at most `max` tenants, at the rate `per_second`. A full bucket equals a missing one and is
 * dropped first; if none is full, the oldest one is dropped.
 */
export function createFuelBuckets(
  per_second: () => number,
  max = 4_096,
  burst_seconds = BURST_SECONDS,
): FuelBuckets {
  const buckets = new BoundedMap<string, FuelBucket>(max);

  function dropFull(now_ms: number): void {
    for (const [tenant_id, bucket] of buckets) {
      refill(bucket, now_ms);
      if (bucket.fuel >= bucket.per_second * burst_seconds) buckets.delete(tenant_id);
    }
  }

  const waitOf = (tenant_id: string, now_ms: number): number => {
    const bucket = buckets.get(tenant_id);
    if (bucket === undefined) return 0;
    bucket.per_second = per_second();
    return fuelWait(bucket, now_ms);
  };

  return {
    has: (tenant_id, now_ms) => waitOf(tenant_id, now_ms) === 0,
    wait: waitOf,
    spend(tenant_id, fuel, now_ms) {
      let bucket = buckets.get(tenant_id);
      if (bucket === undefined) {
        if (buckets.size >= max) dropFull(now_ms);
        bucket = createFuelBucket(per_second(), now_ms, burst_seconds);
        buckets.set(tenant_id, bucket);
      }
      spendFuel(bucket, fuel, now_ms);
    },
    get size() {
      return buckets.size;
    },
  };
}
