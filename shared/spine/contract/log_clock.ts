/**
 * The clock of the embedded log. It starts at the wall clock, but not before the newest message, and advances with the
 * monotonic clock. It corrects a difference to the wall clock by at most a tenth of the elapsed time. So a wall clock
 * that jumps a day ahead expires nothing at once, and one that jumps back stops nothing. Pure apart from the two
 * clocks.
 */
import type { Clocks } from "../../clock_steps.ts";

const SLEW = 0.1;

/** A clock that never goes back. */
export class LogClock {
  readonly #clocks: Clocks;
  #time_ms: number;
  #read_ms: number;

  /** `at_least_ms`: Unix ms of the newest message of the log. */
  constructor(clocks: Clocks, at_least_ms: number) {
    this.#clocks = clocks;
    this.#time_ms = Math.max(clocks.now(), at_least_ms);
    this.#read_ms = clocks.monotonic_ms();
  }

  /** Unix ms, whole. */
  now(): number {
    const read_ms = this.#clocks.monotonic_ms();
    const passed_ms = Math.max(0, read_ms - this.#read_ms);
    this.#read_ms += passed_ms;
    const behind_ms = this.#clocks.now() - (this.#time_ms + passed_ms);
    const slew_ms = Math.max(-SLEW * passed_ms, Math.min(SLEW * passed_ms, behind_ms));
    this.#time_ms += passed_ms + slew_ms;
    return Math.floor(this.#time_ms);
  }
}

/** Unix ms that follow the wall clock without its jumps. */
export function steadyTime(clocks: Clocks): () => number {
  const clock = new LogClock(clocks, 0);
  return () => clock.now();
}

/**
 * As `steadyTime`, for callers that need it for every message: it computes the time once per ms of the wall clock, at a
 * third of the cost.
 */
export function steadyMs(clocks: Clocks): () => number {
  const steady = steadyTime(clocks);
  let seen_ms = NaN;
  let time_ms = 0;
  return () => {
    const wall_ms = clocks.now();
    if (wall_ms === seen_ms) return time_ms;
    seen_ms = wall_ms;
    return time_ms = steady();
  };
}

let newest = { time_ms: NaN, text: "" };

/** A time as a text; messages that are stored together have the same. */
export function isoOf(time_ms: number): string {
  if (time_ms !== newest.time_ms) newest = { time_ms, text: new Date(time_ms).toISOString() };
  return newest.text;
}
