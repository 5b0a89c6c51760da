/**
 * One rate that all tenants share, max-min fair: a tenant that asks for less than its share gets all
 * of it, and what is left is shared equally by those who ask for more. Plain data and arithmetic,
 * O(1) a call however many tenants there are; time is an argument.
 *
 * How: the bucket of the process says how much room there is, each tenant's portion what it took in
 * about the last second. A tenant may take while its portion is below an allowance that depends on
 * the room alone: none when the bucket is empty, rate ÷ active tenants at half, without end when it
 * is full. Those who ask for much lower the bucket until the allowance stops them, all at the same
 * height, while those below it never notice. The lower half thus stays for tenants below their share.
 */
import { createBucket, refill, withdraw } from "./token_bucket.ts";
import type { TokenBucket } from "./token_bucket.ts";

/** What a tenant took counts for 1/e after this. Also how long it is active after it asked. */
const MEMORY_MS = 1_000;
/** No window, nor the one before any. */
const NEVER = -2;
/** No advice is longer: by then there is other room. */
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

/** What one tenant has of it. */
export interface Portion {
  /** Taken, fading with `MEMORY_MS`: in balance, the tenant's rate a second. */
  used: number;
  updated_ms: number;
  /** Second in which it asked last. */
  window: number;
}

/** A full bucket with a burst of two seconds, and nobody active. */
export function createSharedRate(per_second: number, now_ms: number): SharedRate {
  const bucket = createBucket(per_second, now_ms);
  return { bucket, window: windowOf(now_ms), active: 0, active_before: 0, returned: 0 };
}

/** A tenant that has taken nothing. */
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

/** How much a tenant may have taken in about a second to be given more, at this level. */
function allowance({ per_second, burst }: TokenBucket, level: number, active: number): number {
  const half = burst / 2;
  const share = per_second / active;
  if (level < half) return share * Math.max(0, level) / half;
  return level >= burst ? Infinity : share * half / (burst - level);
}

/**
 * Ms after which `amount` may pass, 0 for now; takes nothing, but the tenant counts as active. An
 * amount above a quarter of the burst passes at that level and leaves a debt: waiting for more could
 * be for ever beside others. The advice is a guess, as others come and go meanwhile.
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

/** Takes it: only after `waitForShare` gave 0. */
export function withdrawShare(shared: SharedRate, portion: Portion, amount: number): void {
  withdraw(shared.bucket, amount);
  portion.used += amount;
}
