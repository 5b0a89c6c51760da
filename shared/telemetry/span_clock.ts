/**
 * The clock of spans: Unix time, since spans of several processes are compared, with the resolution of a monotonic
 * clock, since a span may take microseconds. It may go back.
 */

/** A larger difference means that the wall clock was set, or was corrected often enough. */
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
