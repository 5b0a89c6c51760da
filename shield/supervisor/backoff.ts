/** The delay before a dead process is restarted. Pure. */

/** The pauses, which grow up to a maximum. */
export interface BackoffOptions {
  readonly first_ms: number;
  /** The longest pause, in ms. */
  readonly max_ms: number;
  /** If a process has served for this long, in ms, its end is not a failed start, and the first pause is used again. */
  readonly reset_ms: number;
}

/** The pauses of `shield --processes`. */
export const BACKOFF: BackoffOptions = { first_ms: 250, max_ms: 15_000, reset_ms: 30_000 };

/** The failures in a row, this one included, after a process has served for `served_ms` (0: never). */
export function failuresAfter(
  failures: number,
  served_ms: number,
  { reset_ms }: BackoffOptions,
): number {
  return served_ms >= reset_ms ? 1 : failures + 1;
}

/**
 * The pause after that many failures in a row, at least 1. It doubles with each, and half of it is
 * random, so that processes that died together do not start together. `random` is in [0, 1).
 */
export function pauseAfter(
  failures: number,
  { first_ms, max_ms }: BackoffOptions,
  random: () => number,
): number {
  const whole = Math.min(max_ms, first_ms * 2 ** Math.min(failures - 1, 30));
  return Math.round(whole / 2 + random() * whole / 2);
}
