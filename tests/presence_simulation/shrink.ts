/**
 * Shrinks a failing schedule: drops actions while it still fails. Greedy: first halves, then quarters, down to single
 * actions, until none can be dropped.
 */
import type { Schedule } from "./schedule.ts";

/** `fails` runs a schedule; it is called at most `tries` times. */
export function shrink(
  schedule: Schedule,
  fails: (candidate: Schedule) => boolean,
  tries = 2_000,
): Schedule {
  let smallest = schedule;
  let left = tries;
  let size = Math.ceil(schedule.actions.length / 2);
  while (size >= 1 && left > 0) {
    let dropped = false;
    for (let start = 0; start < smallest.actions.length && left > 0;) {
      const actions = [
        ...smallest.actions.slice(0, start),
        ...smallest.actions.slice(start + size),
      ];
      const candidate = { ...smallest, actions };
      left--;
      if (fails(candidate)) {
        smallest = candidate;
        dropped = true;
      } else {
        start += size;
      }
    }
    if (size === 1 && !dropped) break;
    size = size === 1 ? 1 : Math.floor(size / 2);
  }
  return smallest;
}
