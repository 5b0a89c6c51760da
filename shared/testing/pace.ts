/**
 * Pauses that are part of a test: of a load at a rate, of a lasting fault, of a client that retries later, and the time
 * in which something must not happen. To wait for a condition, use `until` of `until.ts`. The gate finds sleeps in
 * loops of tests that are not `pace`, and loops that only pause.
 */

/** A pause that is part of the load or the fault. */
export function pace(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One turn of the event loop: all promises that could settle have settled when it resolves. It waits for no time. */
export function turn(): Promise<void> {
  return pace(0);
}
