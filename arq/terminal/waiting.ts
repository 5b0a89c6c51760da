/** Waits that a command's stop signal ends. */

/** Waits for `delay_ms`, or until `signal` aborts; never rejects. */
export function pause(delay_ms: number, signal: AbortSignal): Promise<void> {
  if (delay_ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, delay_ms);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Waits for `delay_ms`. Rejects with the signal's reason as soon as the signal aborts. */
export async function sleep(delay_ms: number, signal: AbortSignal): Promise<void> {
  await pause(delay_ms, signal);
  signal.throwIfAborted();
}
