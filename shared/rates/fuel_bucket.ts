/**
 * Limits the work that a tenant may cause in a second, by policies or reducers (fuel) or filters (steps), as plain data
 * and arithmetic. The cost of a call is only known after it, so it is charged then and the level may become negative:
 * the debt is worked off before the next call. Time is an argument; nothing here waits.
 */
import { BoundedMap } from "../containers/bounded_map.ts";
import {
  createBucket,
  isFull,
  refill,
  setRate,
  type TokenBucket,
  withdraw,
} from "./token_bucket.ts";

const BURST_SECONDS = 2;

/** Whether a call may run now: nothing is owed. */
export function hasFuel(bucket: TokenBucket, now_ms: number): boolean {
  refill(bucket, now_ms);
  return bucket.thousandths > 0;
}

/** Charges the cost of a call. */
export function spendFuel(bucket: TokenBucket, fuel: number, now_ms: number): void {
  refill(bucket, now_ms);
  withdraw(bucket, fuel);
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
  const buckets = new BoundedMap<string, TokenBucket>(max);

  function dropFull(now_ms: number): void {
    for (const [tenant_id, bucket] of buckets) {
      if (isFull(bucket, now_ms)) buckets.delete(tenant_id);
    }
  }

  const waitOf = (tenant_id: string, now_ms: number): number => {
    const bucket = buckets.get(tenant_id);
    if (bucket === undefined) return 0;
    const rate = per_second();
    setRate(bucket, rate, rate * burst_seconds);
    // In how many ms nothing is owed any longer.
    return hasFuel(bucket, now_ms) ? 0 : Math.max(1, Math.ceil(-bucket.thousandths / rate));
  };

  return {
    has: (tenant_id, now_ms) => waitOf(tenant_id, now_ms) === 0,
    wait: waitOf,
    spend(tenant_id, fuel, now_ms) {
      let bucket = buckets.get(tenant_id);
      if (bucket === undefined) {
        if (buckets.size >= max) dropFull(now_ms);
        const rate = per_second();
        bucket = createBucket(rate, now_ms, rate * burst_seconds);
        buckets.set(tenant_id, bucket);
      }
      spendFuel(bucket, fuel, now_ms);
    },
    get size() {
      return buckets.size;
    },
  };
}
