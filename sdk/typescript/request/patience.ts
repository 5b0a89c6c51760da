/** Retries of requests that may be repeated: reads, and commands with a number of their own. */
import { backoffDelay, sleep } from "../time/clock.ts";
import { isPassing } from "../wire/wire_error.ts";

const BACKOFF = { base_ms: 100, max_ms: 2_000 };

/** Retries after temporary refusals, for `patience_ms` at most, until `signal` is aborted. */
export async function patiently<Answer>(
  ask: () => Promise<Answer>,
  signal?: AbortSignal,
  patience_ms = 60_000,
): Promise<Answer> {
  const until_ms = performance.now() + patience_ms;
  for (let attempt = 0;; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!isPassing(error) || signal?.aborted || performance.now() > until_ms) throw error;
      const wait_ms = Math.max(error.retry_after_ms, backoffDelay(attempt, BACKOFF, Math.random));
      await sleep(wait_ms, signal);
    }
  }
}
