/**
 * How long a process stops reading, so that its memory lasts until clients are judged. Pure; when it is
 * asked is `memory_guard.ts`.
 */

/** What is known when a pause is decided. */
export interface Pace {
  /** The growth of memory since the last look. */
  readonly grown_bytes: number;
  /** How long ago the last look was, in ms. */
  readonly took_ms: number;
  /** How long the state still waits, in ms. */
  readonly left_ms: number;
  /** How much memory may grow in that time; below 0 when it has already grown more. */
  readonly left_bytes: number;
  readonly longest_ms: number;
}

/**
 * The next pause in ms. The runtime reads whatever it finds: how often it looks can be decided, how
 * much it takes cannot. If every look takes as much as the last one, the looks that fit into
 * `left_bytes` are spread over `left_ms`; with room for less than one, nothing is read until that time
 * is over.
 */
export function pauseFor({ grown_bytes, took_ms, left_ms, left_bytes, longest_ms }: Pace): number {
  if (grown_bytes <= 0 || left_ms <= 0) return 0;
  const due_ms = left_bytes <= grown_bytes ? left_ms : left_ms * grown_bytes / left_bytes - took_ms;
  return Math.max(0, Math.min(due_ms, left_ms, longest_ms));
}
