/** Paces a pipeline: a limited number of tasks at a time, at an even rate, and its progress. No sockets, no streams. */
import { plural } from "../../shared/plural.ts";

/** Runs at most `limit` tasks at a time. The first failure stops the rest. */
export class Window {
  readonly #limit: number;
  #under_way = 0;
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Starts `work` as soon as there is a free slot. Throws the first failure of earlier work. */
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

  /** Resolves when no task is running. Throws the first failure. */
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

/** When task `index` (0 is the first) is due at `rate` tasks a second, in ms after the start. */
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

/** The result of `work`. Rejects with the signal's reason as soon as the signal aborts. */
export async function unlessStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([stopped, work]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Counts the acknowledgements of numbered messages; numbers grow in the order of sending. */
export class Acknowledged {
  /** Every message up to this number is acknowledged. */
  upTo: number;
  count = 0;
  /** Messages that a durable room stored before an earlier sent one. */
  swapped = 0;
  #stored = 0;
  /**
   * Pending messages after `upTo`, in order, each with its offset once it has one. At most as many as the window holds.
   */
  readonly #under_way = new Map<number, number | undefined>();

  constructor(upTo = 0) {
    this.upTo = upTo;
  }

  /** Records a sent message. Its number is higher than all earlier ones. */
  begin(number: number): void {
    this.#under_way.set(number, undefined);
  }

  /** Records the acknowledgement of a message. `stored` is its offset, 0 if the room is not durable. */
  add(acknowledged: number, stored: number): void {
    this.count += 1;
    this.#under_way.set(acknowledged, stored);
    for (const [number, offset] of this.#under_way) {
      if (offset === undefined) return;
      this.#under_way.delete(number);
      this.upTo = number;
      if (offset > 0 && offset < this.#stored) this.swapped += 1;
      this.#stored = Math.max(this.#stored, offset);
    }
  }
}

/** A line for stderr about messages that were stored out of order; "" when none were. */
export function swappedText({ swapped }: Acknowledged): string {
  if (swapped === 0) return "";
  const messages = plural(swapped, "message is", "messages are");
  return `arq: ${messages} stored out of order: the bus refused some for a while. --window 1 keeps the order\n`;
}
