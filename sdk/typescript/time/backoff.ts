/**
 * How long to wait before the next attempt: exponential with full jitter. Pure; nothing waits here.
 * Full jitter (uniform from 0 to the ceiling) spreads a crowd that lost the same node best.
 */

/** The bounds of the waits; `ConnectOptions.backoff` overrides each on its own. */
export interface Backoff {
  /** Upper bound of the first wait, in ms. */
  readonly base_ms: number;
  /** Upper bound of every wait, in ms. */
  readonly max_ms: number;
}

/**
 * 250 ms, then doubled up to 15 s: a restart is hardly felt, and a long outage is not made worse.
 */
export const DEFAULT_BACKOFF: Backoff = { base_ms: 250, max_ms: 15_000 };

/**
 * The wait in ms before attempt number `attempt` (0: the first one after a failure).
 * `random` gives numbers in [0, 1).
 */
export function backoffDelay(attempt: number, backoff: Backoff, random: () => number): number {
  // 2 ** 31 is beyond every sensible maximum; the bound keeps the product finite.
  const ceiling_ms = Math.min(backoff.max_ms, backoff.base_ms * 2 ** Math.min(attempt, 31));
  return Math.floor(random() * ceiling_ms);
}
