/** Timers of the governance benchmark, for each call by itself or for many calls together. In µs or ns. */
import { percentile } from "../measure/open_loop.ts";

/** The times of calls that were timed one by one. */
export interface CallTimes {
  readonly calls: number;
  readonly p50_us: number;
  readonly p99_us: number;
}

/** Most calls whose times are kept. */
const CALLS_MAX = 100_000;

/** The length of a measurement: so many ms, and so many calls however long they take. */
export interface CallPlan {
  readonly for_ms: number;
  readonly calls_min: number;
}

/** Times each call; the clock takes under 0.1 µs of each. `run` gets the index of the call. */
export function timeCalls(
  { for_ms, calls_min }: CallPlan,
  run: (index: number) => void,
): CallTimes {
  const times = new Float64Array(CALLS_MAX);
  let calls = 0;
  const end_ms = performance.now() + for_ms;
  for (let now = performance.now(); calls < CALLS_MAX;) {
    if (now >= end_ms && calls >= calls_min) break;
    const before = performance.now();
    run(calls);
    now = performance.now();
    times[calls++] = now - before;
  }
  const sorted = times.subarray(0, calls).sort();
  const us = (fraction: number) => percentile(sorted, fraction) * 1_000;
  return { calls, p50_us: us(0.5), p99_us: us(0.99) };
}

/**
 * The mean time of a call in ns, over as many calls as take `for_ms`. For calls that are too short for
 * `timeCalls`.
 */
export function timeLoop(for_ms: number, run: (index: number) => void): number {
  let calls = 0;
  const began_ms = performance.now();
  let elapsed_ms = 0;
  while (elapsed_ms < for_ms) {
    for (const end = calls + 1_024; calls < end; calls++) run(calls);
    elapsed_ms = performance.now() - began_ms;
  }
  return elapsed_ms * 1e6 / calls;
}
