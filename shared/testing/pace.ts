/**
 * The pauses that belong to what a test does: of a load that sends at a rate, of a fault that lasts, of a client that
 * tries again later, and the time in which something must not come. Not for waiting: `until` of `until.ts` asks for
 * what is awaited. The gate finds sleeps in loops of tests that are no `pace`, and loops that do nothing but pause.
 */

/** A pause that is part of the load or the fault. */
export function pace(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One turn of the event loop: every promise that could settle has settled when it resolves. No wait for a time. */
export function turn(): Promise<void> {
  return pace(0);
}
