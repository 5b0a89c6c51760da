/**
 * How fast a pipeline goes: a window of work under way and an even pace. No sockets, no streams.
 */

/** At most `limit` pieces of work at a time; the first failure stops the rest. */
export class Window {
  readonly #limit: number;
  #under_way = 0;
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Starts `work` when there is room. Throws the first failure of any work before. */
  async run(work: () => Promise<void>): Promise<void> {
    await this.#until(() => this.#under_way < this.#limit);
    this.#under_way += 1;
    work().catch((error) => {
      this.#failure ??= { error };
    }).finally(() => {
      this.#under_way -= 1;
      this.#wake?.();
    });
  }

  /** Resolves when nothing is under way; throws the first failure. */
  async drained(): Promise<void> {
    await this.#until(() => this.#under_way === 0);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (this.#failure === undefined && !condition()) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** When piece number `index` (0 is the first) is due at `rate` a second, in ms after the start. */
export function dueAfter(index: number, rate: number): number {
  return index * 1_000 / rate;
}

/** Resolves after `delay_ms`, or at once when `signal` aborts; never rejects. */
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

/** As `work`, but rejects with the signal's reason as soon as it aborts, whatever `work` still waits for. */
export async function unlessStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  // Nobody is left to hear what becomes of it.
  work.catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
