/** The listeners of a Spine's events: one kind of event, one list, no names. */
import type { Logger } from "../../logs/log.ts";
import type { SpineEvent } from "./spine.ts";

type Listener = (event: SpineEvent) => void;

/** The listeners of one Spine. */
export class Listeners {
  readonly #log: Logger;
  readonly #listeners = new Set<{ readonly listener: Listener }>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Returns the function that removes it again. */
  add(listener: Listener): () => void {
    const entry = { listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Calls every listener; one that throws is logged and does not prevent the others. */
  emit(event: SpineEvent): void {
    for (const { listener } of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        this.#log.error("a Spine listener threw", { event: event.type, error });
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}
