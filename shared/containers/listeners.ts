/** The callbacks for one kind of event. One that throws does not affect the others. */
import type { Logger } from "../logs/log.ts";

/** One set of callbacks. */
export class Listeners<Event> {
  readonly #log: Logger;
  /** The log line if a callback throws. */
  readonly #failed: string;
  readonly #listeners = new Set<{ readonly listener: (event: Event) => void }>();

  constructor(log: Logger, failed: string) {
    this.#log = log;
    this.#failed = failed;
  }

  get size(): number {
    return this.#listeners.size;
  }

  /** Calls back until the returned function is called. */
  add(listener: (event: Event) => void): () => void {
    const entry = { listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Calls every callback; exceptions are logged. */
  emit(event: Event): void {
    for (const { listener } of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        this.#log.error(this.#failed, { error });
      }
    }
  }

  /** Removes every callback. */
  clear(): void {
    this.#listeners.clear();
  }
}
