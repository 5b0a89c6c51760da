/** How long a dead process is waited for before the next start. Pure. */

/** Growing pauses with an end. */
export interface BackoffOptions {
  /** The first pause. */
  readonly first_ms: number;
  /** The longest. */
  readonly max_ms: number;
  /** A process that has served for this long was no failed start: pauses begin anew. */
  readonly reset_ms: number;
}

/** What `shield --processes` does. */
export const BACKOFF: BackoffOptions = { first_ms: 250, max_ms: 15_000, reset_ms: 30_000 };

/** Failures in a row, this one counted, after a process has served for `served_ms` (0: never). */
export function failuresAfter(
  failures: number,
  served_ms: number,
  { reset_ms }: BackoffOptions,
): number {
  return served_ms >= reset_ms ? 1 : failures + 1;
}

/**
 * The pause after so many failures in a row, 1 or more: twice as long each time, and half of it by chance,
 * so that processes that died together do not start together. `random` is in [0, 1).
 */
export function pauseAfter(
  failures: number,
  { first_ms, max_ms }: BackoffOptions,
  random: () => number,
): number {
  const whole = Math.min(max_ms, first_ms * 2 ** Math.min(failures - 1, 30));
  return Math.round(whole / 2 + random() * whole / 2);
}
