/**
 * Positive ACKs to plain publishes and subscriptions wait here for the Spine: one flush a turn for
 * everybody who asked in that turn. Nothing else may call `spine.flush` on the message path.
 */
import { ArqonError } from "@arqon/proto";
import type { Spine } from "../../shared/spine/contract/spine.ts";

/** Called once: without an error when the flush was confirmed, else with why it was not. */
export type Flushed = (error?: ArqonError) => void;

/** Collects who waits for the Spine in one turn and answers all of them by one flush. */
export class FlushQueue {
  readonly #spine: Spine;
  #waiting: Flushed[] = [];
  #unconfirmed = 0;

  constructor(spine: Spine) {
    this.#spine = spine;
  }

  /** Everything handed to the Spine before this call is covered by the answer. */
  push(done: Flushed): void {
    if (this.#waiting.push(done) === 1) queueMicrotask(() => this.#flush());
  }

  /** Callbacks that have not been called yet. For metrics. */
  get pending(): number {
    return this.#waiting.length + this.#unconfirmed;
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#unconfirmed += waiting.length;
    this.#waiting = [];
    const flushed = this.#spine.flush().then(() => undefined, toArqonError);
    // A promise for each: a callback that throws takes nothing from the others.
    for (const done of waiting) flushed.then(done);
    flushed.then(() => {
      this.#unconfirmed -= waiting.length;
    });
  }
}

function toArqonError(cause: unknown): ArqonError {
  if (cause instanceof ArqonError) return cause;
  return new ArqonError("spine-unavailable", "the flush failed", { cause });
}
