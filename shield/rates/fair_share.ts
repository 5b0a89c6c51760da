/**
 * One rate that all tenants share, max-min fair: a tenant that asks for less than its share gets all of
 * it, and what is left is shared equally by those that ask for more. Plain data and arithmetic, O(1) a
 * call however many tenants there are; time is an argument.
 *
 * The bucket of the process says how much room there is, and each tenant's portion says what it took in
 * about the last second. A tenant may take while its portion is below an allowance that depends on the
 * room alone: none when the bucket is empty, rate ÷ active tenants when it is half full, unlimited when
 * it is full. Tenants that ask for much lower the bucket until the allowance stops them, all at the
 * same level, while those below it never notice. So the lower half is left for tenants below their
 * share.
 */
import { createBucket, refill, withdraw } from "./token_bucket.ts";
import type { TokenBucket } from "./token_bucket.ts";

/**
 * The time after which what a tenant took counts for 1/e, in ms. A tenant that asked is active as long.
 */
const MEMORY_MS = 1_000;
/** A window that is neither a real one nor the one before one. */
const NEVER = -2;
/** The longest advice, in ms: by then there is other room. */
const ADVICE_MAX_MS = 5_000;

/** The shared rate, and how many tenants have asked in this second and the one before. */
export interface SharedRate {
  readonly bucket: TokenBucket;
  window: number;
  active: number;
  active_before: number;
  /** Tenants in `active` that are also in `active_before`. */
  returned: number;
}

/** One tenant's portion of the shared rate. */
export interface Portion {
  /** What the tenant took, fading with `MEMORY_MS`: in balance, its rate in a second. */
  used: number;
  updated_ms: number;
  /** The second in which the tenant asked last. */
  window: number;
}

/** A shared rate with a full bucket, a burst of two seconds, and no active tenant. */
export function createSharedRate(per_second: number, now_ms: number): SharedRate {
  const bucket = createBucket(per_second, now_ms);
  return { bucket, window: windowOf(now_ms), active: 0, active_before: 0, returned: 0 };
}

/** The portion of a tenant that has taken nothing. */
export function createPortion(now_ms: number): Portion {
  return { used: 0, updated_ms: now_ms, window: NEVER };
}

function windowOf(now_ms: number): number {
  return Math.floor(now_ms / MEMORY_MS);
}

function countActive(shared: SharedRate, portion: Portion, now_ms: number): number {
  const window = windowOf(now_ms);
  if (shared.window !== window) {
    shared.active_before = shared.window === window - 1 ? shared.active : 0;
    shared.active = shared.returned = 0;
    shared.window = window;
  }
  if (portion.window !== window) {
    shared.active++;
    if (portion.window === window - 1) shared.returned++;
    portion.window = window;
  }
  return Math.max(1, shared.active + shared.active_before - shared.returned);
}

function fade(portion: Portion, now_ms: number): void {
  const elapsed_ms = now_ms - portion.updated_ms;
  portion.updated_ms = now_ms;
  if (elapsed_ms > 0) portion.used *= Math.exp(-elapsed_ms / MEMORY_MS);
}

/**
 * The most that a tenant may have taken in about a second to be given more, at this level of the
 * bucket.
 */
function allowance({ per_second, burst }: TokenBucket, level: number, active: number): number {
  const half = burst / 2;
  const share = per_second / active;
  if (level < half) return share * Math.max(0, level) / half;
  return level >= burst ? Infinity : share * half / (burst - level);
}

/**
 * The wait in ms after which `amount` may pass, 0 for now. It takes nothing, but the tenant counts as
 * active. An amount above a quarter of the burst passes at that level and leaves a debt, as it might
 * wait for more for ever beside other tenants. The advice is a guess, since others come and go
 * meanwhile.
 */
export function waitForShare(
  shared: SharedRate,
  portion: Portion,
  amount: number,
  now_ms: number,
): number {
  const { bucket } = shared;
  const active = countActive(shared, portion, now_ms);
  refill(bucket, now_ms);
  fade(portion, now_ms);
  const level = bucket.thousandths / 1_000;
  const missing = Math.min(amount, bucket.burst / 4) - level;
  if (missing > 0) return Math.ceil(missing * 1_000 / bucket.per_second);
  const allowed = allowance(bucket, level, active);
  if (portion.used === 0 || portion.used < allowed) return 0;
  const fading_ms = Math.ceil(MEMORY_MS * Math.log(portion.used / allowed));
  return Math.min(ADVICE_MAX_MS, Math.max(1, fading_ms));
}

/** Takes the amount; only after `waitForShare` gave 0. */
export function withdrawShare(shared: SharedRate, portion: Portion, amount: number): void {
  withdraw(shared.bucket, amount);
  portion.used += amount;
}
