/**
 * The bucket of one tenant, shared by all Shields: the amount that a reservation takes, and the rest. Pure. `valkey.ts`
 * implements the same in Lua, and a test compares the two. While the server is unreachable, this implementation is
 * used.
 */

/** Messages and bytes, always together. */
export interface Amounts {
  readonly messages: number;
  readonly bytes: number;
}

/** One Shield's request for one tenant. */
export interface Reservation {
  readonly tenant_id: string;
  /** The refill per second; a full bucket holds one second's worth. */
  readonly rate: Amounts;
  /** Amounts spent in advance: taken in any case, also below zero. */
  readonly debt: Amounts;
  /** Amounts beyond the debt: taken as far as available. */
  readonly wish: Amounts;
}

/** The grant for a reservation. */
export interface Grant {
  /** The granted part of the wish. */
  readonly granted: Amounts;
  /** Ms until the bucket has the next unit of an amount that was not fully granted; 0 if all was granted. */
  readonly retry_after_ms: number;
}

/** The content of a bucket; an amount may be below zero. */
export interface Bucket {
  messages: number;
  bytes: number;
  /** Time of the last fill, in ms by the caller's clock. */
  filled_ms: number;
}

/** A full bucket. */
export function fullBucket({ messages, bytes }: Amounts, now_ms: number): Bucket {
  return { messages, bytes, filled_ms: now_ms };
}

/** The level of an amount after a time of filling, in millionths, as the script stores it. */
function filled(level: number, rate: number, elapsed_ms: number): number {
  const now = Math.min(rate, level + (rate * elapsed_ms) / 1_000);
  return Math.floor(now * 1_000_000 + 0.5) / 1_000_000;
}

function part(level: number, wish: number): number {
  return Math.max(0, Math.min(wish, Math.floor(level)));
}

function wait_ms(level: number, rate: number): number {
  return Math.max(0, Math.ceil(((1 - level) * 1_000) / rate));
}

/** Fills the bucket up to now and takes from it. A clock that goes backwards fills nothing. */
export function reserve(bucket: Bucket, reservation: Reservation, now_ms: number): Grant {
  const { rate, debt, wish } = reservation;
  const elapsed_ms = Math.max(0, now_ms - bucket.filled_ms);
  bucket.filled_ms = now_ms;
  bucket.messages = filled(bucket.messages, rate.messages, elapsed_ms) - debt.messages;
  bucket.bytes = filled(bucket.bytes, rate.bytes, elapsed_ms) - debt.bytes;
  const granted = {
    messages: part(bucket.messages, wish.messages),
    bytes: part(bucket.bytes, wish.bytes),
  };
  bucket.messages -= granted.messages;
  bucket.bytes -= granted.bytes;
  return {
    granted,
    retry_after_ms: Math.max(
      granted.messages < wish.messages ? wait_ms(bucket.messages, rate.messages) : 0,
      granted.bytes < wish.bytes ? wait_ms(bucket.bytes, rate.bytes) : 0,
    ),
  };
}
