/**
 * Measures how much memory each socket gave back when it closed, also where several close in one
 * turn. Which socket is guilty is `memory_guard.ts`.
 */

/** Attributes what is freed to whoever has closed last. */
export class Freed<S> {
  readonly #read_bytes: () => number;
  readonly #onFreed: (who: S, freed_bytes: number) => void;
  #last: { readonly who: S; readonly before_bytes: number } | undefined;

  /** `read_bytes`: resident memory of the process. */
  constructor(read_bytes: () => number, onFreed: (who: S, freed_bytes: number) => void) {
    this.#read_bytes = read_bytes;
    this.#onFreed = onFreed;
  }

  /**
   * To be called in the close event. The runtime frees what a socket held as soon as its close event
   * is over, but several close events may be over before anything else is: what is gone at the next
   * one belonged to the one before.
   */
  closing(who: S): void {
    this.settle();
    this.#last = { who, before_bytes: this.#read_bytes() };
    queueMicrotask(() => this.settle());
  }

  /** The memory of whoever closes now is not theirs who closed before. */
  settle(): void {
    const last = this.#last;
    this.#last = undefined;
    if (last !== undefined) this.#onFreed(last.who, last.before_bytes - this.#read_bytes());
  }
}
