/**
 * Reads that many callers ask for at once and whose answer is the same for all: done once for everybody
 * who asked before the read began, and only so many at a time. Logs are not known here.
 */
import { ArqonError } from "@arqon/proto";

/** The bounds of the reads under way. */
export interface SharedReadsOptions {
  /** How many reads run at a time. */
  readonly reads_max: number;
  /** How many different reads may wait for their turn; one more is refused. */
  readonly waiting_max: number;
}

/**
 * Reads that are shared. A read never serves a caller who asked after it began: its answer could lack
 * what was acknowledged in between. Reads of one key run one after another.
 */
export class SharedReads<T> {
  readonly #options: SharedReadsOptions;
  /** Reads that have not begun, by key: further callers may join them. */
  readonly #next = new Map<string, Promise<T>>();
  /** The last read of each key that is under way or waits. */
  readonly #last = new Map<string, Promise<T>>();
  readonly #turns: (() => void)[] = [];
  #running = 0;

  constructor(options: SharedReadsOptions) {
    this.#options = options;
  }

  /**
   * Runs a read, or joins one, and resolves as it does. Rejects as the read does, and with
   * `log-unavailable` (503) when too many wait.
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
    // This waits a turn even with no read before it, so that callers of this turn join.
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
      // The place goes on to the read that has waited longest.
      if (turn === undefined) this.#running--;
      else turn();
    }
  }
}
