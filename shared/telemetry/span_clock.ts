/**
 * The clock of spans: Unix time, as spans of several processes are compared, with the resolution of a
 * monotonic clock, as a span may take microseconds. Not for anything that must not go back.
 */

/** Further apart than this, the wall clock has been set, or has been corrected often enough. */
const APART_MS = 5;

/** Unix ms with fractions. `now` is Unix ms, `monotonic_ms` as `performance.now`. */
export function spanClock(now: () => number, monotonic_ms: () => number): () => number {
  let offset_ms = now() - monotonic_ms();
  return () => {
    const wall_ms = now();
    const steady_ms = monotonic_ms();
    if (Math.abs(steady_ms + offset_ms - wall_ms) > APART_MS) offset_ms = wall_ms - steady_ms;
    return steady_ms + offset_ms;
  };
}
