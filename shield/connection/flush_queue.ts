/**
 * Positive ACKs of plain publishes and subscriptions, which wait for the Spine: one flush per turn for all ACKs of that
 * turn. Nothing else on the message path may call `spine.flush`.
 */
import { ArqonError } from "@arqon/proto";
import type { Spine } from "../../shared/spine/contract/spine.ts";

/** Called once: without an error after a confirmed flush, else with the error. */
export type Flushed = (error?: ArqonError) => void;

/** Collects the callbacks of one turn that wait for the Spine, and answers all of them by one flush. */
export class FlushQueue {
  readonly #spine: Spine;
  #waiting: Flushed[] = [];
  #unconfirmed = 0;

  constructor(spine: Spine) {
    this.#spine = spine;
  }

  /** Adds a callback. The flush covers everything given to the Spine before this call. */
  push(done: Flushed): void {
    if (this.#waiting.push(done) === 1) queueMicrotask(() => this.#flush());
  }

  /** Settles as `push` answers: rejects with the ArqonError of a flush that was not confirmed. */
  confirmed(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.push((error) => error === undefined ? resolve() : reject(error));
    return promise;
  }

  /** How many callbacks have not been called yet; for metrics. */
  get pending(): number {
    return this.#waiting.length + this.#unconfirmed;
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#unconfirmed += waiting.length;
    this.#waiting = [];
    const flushed = this.#spine.flush().then(() => undefined, toArqonError);
    // Each callback has its own promise, so that one that throws does not affect the others.
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
