/** When a hook's call is retried, and when not. Pure. */

/** The retry settings of a hook, in ms. */
export interface Schedule {
  readonly retries: number;
  readonly backoff_ms: number;
  readonly backoff_max_ms: number;
}

/** Statuses by which a receiver rejects this body for good. */
const REFUSED = new Set([400, 413, 415, 422]);
/** Calls of such an event, in case the receiver was wrong. */
const REFUSED_CALLS = 3;

/** The longest `Retry-After` that is respected. */
export const RETRY_AFTER_MAX_MS = 86_400_000;

/** The status of a permanently removed receiver: it is no longer called, and the event waits. */
export const GONE = 410;

/** Whether the receiver has accepted the event. */
export function isTaken(status: number): boolean {
  return status >= 200 && status < 300;
}

/**
 * The delay before the next call, in ms, after this many failures, the last one with this status (0: no answer);
 * undefined: the event becomes a dead letter. Delays have a jitter of a tenth.
 */
export function pauseAfter(
  { retries, backoff_ms, backoff_max_ms }: Schedule,
  failed: number,
  status: number,
  random: () => number,
): number | undefined {
  const is_refused = REFUSED.has(status) && failed >= REFUSED_CALLS;
  if (status !== GONE && (failed > retries || is_refused)) return undefined;
  const pause_ms = Math.min(backoff_ms * 2 ** Math.min(failed - 1, 40), backoff_max_ms);
  return Math.ceil(pause_ms * (0.95 + random() / 10));
}
