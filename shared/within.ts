/** Bounds on the time of a wait. */
import { setTimeout as elapsed } from "node:timers/promises";

/**
 * The result of `work`, or after `limit_ms` that of `late`, which may throw instead. `work` goes on, and its rejection
 * is then nobody's.
 */
export async function within<T, L>(
  limit_ms: number,
  work: Promise<T>,
  late: () => L,
): Promise<T | L> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limit_ms);
  try {
    return await Promise.race([work, over.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for this time, or until the signal aborts; resolves with whether it has not. Never rejects. */
export async function pause(wait_ms: number, signal: AbortSignal): Promise<boolean> {
  // It rejects when the signal aborts, which is the result.
  if (wait_ms > 0) await elapsed(wait_ms, undefined, { signal }).catch(() => {});
  return !signal.aborted;
}
