/** Repeats what may be asked twice: commands of growing messages, after a refusal for now or a lost connection. */
import { ArqonError, ruleOf } from "@arqon/proto";
import { backoffDelay, sleep } from "../time/clock.ts";

const BACKOFF = { base_ms: 100, max_ms: 2_000 };
const LOST = ["connection-lost", "answer-timeout"];

/** Whether the same may be asked again: nobody has said no for good. */
function isPassing(error: unknown): error is ArqonError {
  if (!(error instanceof ArqonError)) return false;
  if (error.code === 503 && ruleOf(error.reason).client === "never-retry") return false;
  return LOST.includes(error.reason) || [408, 429, 503].includes(error.code);
}

/**
 * Asks until it is answered or refused for good, for `patience_ms` at most or until `signal` is aborted. Rejects
 * with the last refusal.
 */
export async function patiently<Answer>(
  ask: () => Promise<Answer>,
  patience_ms: number,
  signal?: AbortSignal,
): Promise<Answer> {
  const until_ms = performance.now() + patience_ms;
  for (let attempt = 0;; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!isPassing(error) || signal?.aborted || performance.now() > until_ms) throw error;
      const wait_ms = Math.max(error.retry_after_ms, backoffDelay(attempt, BACKOFF, Math.random));
      await sleep(wait_ms, ...signal === undefined ? [] : [signal]);
    }
  }
}
