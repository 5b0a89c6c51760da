/**
 * Reads that many ask for at once and that are the same for all of them: done once for everybody
 * who asked before it began, and only so many at a time. Knows nothing of logs.
 */
import { ArqonError } from "@arqon/proto";

/** Bounds of what is under way. */
export interface SharedReadsOptions {
  /** Reads at a time. */
  readonly reads_max: number;
  /** Different reads that wait for their turn; one more is refused. */
  readonly waiting_max: number;
}

/**
 * A read never serves anybody who asked after it began: its answer could lack what was acknowledged
 * between. Reads of one key come one after another.
 */
export class SharedReads<T> {
  readonly #options: SharedReadsOptions;
  /** Reads that have not begun: whoever asks may join. */
  readonly #next = new Map<string, Promise<T>>();
  /** The last one of each key that is under way or waits. */
  readonly #last = new Map<string, Promise<T>>();
  readonly #turns: (() => void)[] = [];
  #running = 0;

  constructor(options: SharedReadsOptions) {
    this.#options = options;
  }

  /**
   * Runs a read, or joins one; resolves as it does. Rejects with what it rejects with, and with
   * `log-unavailable` (503).
   */
  run(key: string, read: () => Promise<T>): Promise<T> {
    const next = this.#next.get(key);
    if (next !== undefined) return next;
    if (this.#next.size >= this.#options.waiting_max) {
      const detail = `${this.#next.size} history reads wait`;
      return Promise.reject(new ArqonError("log-unavailable", detail, { retry_after_ms: 1_000 }));
    }
    const started = this.#start(key, this.#last.get(key), read);
    this.#next.set(key, started);
    this.#last.set(key, started);
    const forget = () => {
      if (this.#last.get(key) === started) this.#last.delete(key);
    };
    started.then(forget, forget);
    return started;
  }

  async #start(key: string, before: Promise<T> | undefined, read: () => Promise<T>): Promise<T> {
    // Also without anything before: whoever asks in this turn joins.
    await before?.catch(() => undefined);
    if (this.#running >= this.#options.reads_max) {
      await new Promise<void>((resolve) => this.#turns.push(resolve));
    } else {
      this.#running++;
      await undefined;
    }
    this.#next.delete(key);
    try {
      return await read();
    } finally {
      const turn = this.#turns.shift();
      // The place goes on to who waited longest.
      if (turn === undefined) this.#running--;
      else turn();
    }
  }
}
