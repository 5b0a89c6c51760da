/**
 * The clock and the random numbers of the durable rooms, as arguments. The time of a log is
 * `log.now()`.
 */

/** What waits and retries run on. */
export interface LogClock {
  /** Monotonic ms. */
  now(): number;
  /** Calls `run` once after `delay_ms`, unless the returned function is called before. */
  after(delay_ms: number, run: () => void): () => void;
  /** Numbers in [0, 1). */
  random(): number;
}

/** The clock of this process. */
export const SYSTEM_CLOCK: LogClock = {
  now: () => performance.now(),
  after(delay_ms, run) {
    const timer = setTimeout(run, delay_ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};
