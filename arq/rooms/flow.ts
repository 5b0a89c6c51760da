/** Paces a pipeline: at most so many pieces of work at a time, at an even rate. No sockets, no streams. */

/** Runs at most `limit` pieces of work at a time. The first failure stops the rest. */
export class Window {
  readonly #limit: number;
  #under_way = 0;
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Starts `work` as soon as there is room. Throws the first failure of earlier work. */
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

  /** Resolves when no work is under way. Throws the first failure. */
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

/**
 * The time in ms after the start at which piece `index` is due (0 is the first), at `rate` pieces per second.
 */
export function dueAfter(index: number, rate: number): number {
  return index * 1_000 / rate;
}

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

/**
 * The result of `work`. Rejects with the signal's reason as soon as the signal aborts, also while `work`
 * still waits.
 */
export async function unlessStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  // After an abort nobody learns how the work ends.
  work.catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
