/** For how long a flooded process stops reading between two looks at its sockets. Pure. */

/** What is known when it is decided. */
export interface Pace {
  /** What memory grew by since the last look. */
  readonly grown_bytes: number;
  /** How long ago that was. */
  readonly took_ms: number;
  /** What is waited for comes in so long. */
  readonly left_ms: number;
  /** How much it may grow until then; below 0 when it has grown more. */
  readonly left_bytes: number;
  readonly longest_ms: number;
}

/**
 * In ms. The runtime reads whatever it finds: how often it looks can be decided, how much it takes
 * cannot. If every look takes as much as the last one, then as many looks as there are left in
 * `left_bytes` are spread over `left_ms`; with room for less than one, nothing is read until it is over.
 */
export function pauseFor({ grown_bytes, took_ms, left_ms, left_bytes, longest_ms }: Pace): number {
  if (grown_bytes <= 0 || left_ms <= 0) return 0;
  const due_ms = left_bytes <= grown_bytes ? left_ms : left_ms * grown_bytes / left_bytes - took_ms;
  return Math.max(0, Math.min(due_ms, left_ms, longest_ms));
}
