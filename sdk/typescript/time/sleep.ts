/** Waits that a signal cuts short, and callbacks for the end of a signal. */

/** The longest wait of a platform's timer, in ms. */
export const TIMER_MS_MAX = 2_147_483_647;

/** Calls back once when `signal` is aborted, until the returned function is called. */
export function onAbort(signal: AbortSignal | undefined, call: () => void): () => void {
  signal?.addEventListener("abort", call);
  return () => signal?.removeEventListener("abort", call);
}

/**
 * Resolves after `ms`, or at once when one of the signals is or gets aborted; never rejects, and leaves
 * no listener behind.
 */
export function sleep(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    clearTimeout(timer);
    for (const stop of stops) stop();
    resolve();
  };
  const timer = setTimeout(done, Math.min(ms, TIMER_MS_MAX));
  const stops = signals.map((signal) => onAbort(signal, done));
  if (signals.some((signal) => signal.aborted)) done();
  return promise;
}
