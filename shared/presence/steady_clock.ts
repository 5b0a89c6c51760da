/**
 * A clock that is never set back. Intervals of presence (heartbeats, batches, silence) are measured
 * with Unix time, because processes compare it; a clock that is corrected by an hour must not hold
 * everything up for an hour. Forward steps are left: they look like an absence, which is forgiven.
 */

/** `now` in Unix ms, made to stand still where it goes back, and to go on from there. */
export function steadyClock(now: () => number): () => number {
  let shift_ms = 0;
  let last_ms = -Infinity;
  return () => {
    const shifted_ms = now() + shift_ms;
    if (shifted_ms < last_ms) shift_ms += last_ms - shifted_ms;
    else last_ms = shifted_ms;
    return last_ms;
  };
}
