/**
 * Token buckets: plain data and arithmetic. Time is an argument, nothing here waits. `shield/rates/rates.ts`
 * has the owners of buckets.
 */

/**
 * A token bucket. It fills at `per_second` up to `burst`, and may go below zero (see `take`). The level is in
 * thousandths, so that whole milliseconds at whole rates add up without rounding.
 */
export interface TokenBucket {
  per_second: number;
  burst: number;
  thousandths: number;
  updated_ms: number;
}

/** A full bucket. `burst` defaults to two seconds' worth, as `[limits]` promises. */
export function createBucket(
  per_second: number,
  now_ms: number,
  burst: number = per_second * 2,
): TokenBucket {
  return { per_second, burst, thousandths: burst * 1_000, updated_ms: now_ms };
}

/** Changes a bucket's rate; its content stays, up to the new burst. */
export function setRate(
  bucket: TokenBucket,
  per_second: number,
  burst: number = per_second * 2,
): void {
  bucket.per_second = per_second;
  bucket.burst = burst;
  bucket.thousandths = Math.min(bucket.thousandths, burst * 1_000);
}

/** Refills since the last call. A clock that goes backwards adds nothing and blocks nothing. */
export function refill(bucket: TokenBucket, now_ms: number): void {
  const elapsed_ms = now_ms - bucket.updated_ms;
  // Most operations arrive in the same millisecond as another.
  if (elapsed_ms === 0) return;
  bucket.updated_ms = now_ms;
  if (elapsed_ms <= 0) return;
  const filled = bucket.thousandths + elapsed_ms * bucket.per_second;
  bucket.thousandths = Math.min(bucket.burst * 1_000, filled);
}

/** The wait in ms until `amount` fits the bucket; an amount above the burst fits a full bucket. */
export function waitFor(bucket: TokenBucket, amount: number): number {
  const missing = Math.min(amount, bucket.burst) * 1_000 - bucket.thousandths;
  return missing <= 0 ? 0 : Math.ceil(missing / bucket.per_second);
}

/** Takes without a check; only after `waitFor` gave 0. */
export function withdraw(bucket: TokenBucket, amount: number): void {
  bucket.thousandths -= amount * 1_000;
}

/**
 * Takes `amount` and returns 0, or takes nothing and returns the ms after which it would fit. An amount
 * above the burst passes a full bucket and leaves a debt, so that a legal frame is never refused for
 * ever and the rate still holds.
 */
export function take(bucket: TokenBucket, amount: number, now_ms: number): number {
  refill(bucket, now_ms);
  const retry_after_ms = waitFor(bucket, amount);
  if (retry_after_ms === 0) withdraw(bucket, amount);
  return retry_after_ms;
}

/** The two buckets that an operation takes from: one for operations, one for bytes. */
export interface BucketPair {
  readonly messages: TokenBucket;
  readonly bytes: TokenBucket;
}

/** A pair of full buckets with bursts of two seconds. */
export function createPair(
  messages_per_second: number,
  bytes_per_second: number,
  now_ms: number,
): BucketPair {
  return {
    messages: createBucket(messages_per_second, now_ms),
    bytes: createBucket(bytes_per_second, now_ms),
  };
}

/** Changes both buckets' rates, as `setRate` does. */
export function setPairRates(
  { messages, bytes }: BucketPair,
  messages_per_second: number,
  bytes_per_second: number,
): void {
  setRate(messages, messages_per_second);
  setRate(bytes, bytes_per_second);
}

/** The wait in ms until one operation of `size_bytes` fits both; takes nothing. */
export function waitForPair(pair: BucketPair, size_bytes: number, now_ms: number): number {
  refill(pair.messages, now_ms);
  refill(pair.bytes, now_ms);
  return Math.max(waitFor(pair.messages, 1), waitFor(pair.bytes, size_bytes));
}

/** Takes one operation of `size_bytes`; only after `waitForPair` gave 0. */
export function withdrawPair(pair: BucketPair, size_bytes: number): void {
  withdraw(pair.messages, 1);
  withdraw(pair.bytes, size_bytes);
}

/** Whether it is full, so that dropping it gains nothing for its owner. */
export function isFull(bucket: TokenBucket, now_ms: number): boolean {
  refill(bucket, now_ms);
  return bucket.thousandths === bucket.burst * 1_000;
}

/** Whether both are full. */
export const isPairFull = ({ messages, bytes }: BucketPair, now_ms: number): boolean =>
  isFull(messages, now_ms) && isFull(bytes, now_ms);
