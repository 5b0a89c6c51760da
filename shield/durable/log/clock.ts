/**
 * The clock and the random numbers of the durable rooms, passed as arguments. The time of a log is
 * another one: `log.now()`.
 */

/** The time source of waits and retries. */
export interface RetryClock {
  /** Monotonic ms. */
  now(): number;
  /** Calls `run` once after `delay_ms`, unless the returned function is called before then. */
  after(delay_ms: number, run: () => void): () => void;
  /** A random number in [0, 1). */
  random(): number;
}

/** The clock of this process. */
export const SYSTEM_CLOCK: RetryClock = {
  now: () => performance.now(),
  after(delay_ms, run) {
    const timer = setTimeout(run, delay_ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};
