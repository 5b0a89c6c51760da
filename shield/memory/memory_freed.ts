/**
 * Measures how much memory each socket gave back when it closed, also where several close in one
 * turn. Which socket is guilty is `memory_guard.ts`.
 */

/** Attributes freed memory to the socket that closed last. */
export class Freed<S> {
  readonly #read_bytes: () => number;
  readonly #onFreed: (who: S, freed_bytes: number) => void;
  #last: { readonly who: S; readonly before_bytes: number } | undefined;

  /** Prepares a measurement. `read_bytes` tells the resident memory of the process. */
  constructor(read_bytes: () => number, onFreed: (who: S, freed_bytes: number) => void) {
    this.#read_bytes = read_bytes;
    this.#onFreed = onFreed;
  }

  /**
   * Takes note that a socket closes; to be called in its close event. The runtime frees what a socket
   * held as soon as that event is over, but several close events may come before anything else runs. So
   * what is gone at the next close event belonged to the socket before.
   */
  closing(who: S): void {
    this.settle();
    this.#last = { who, before_bytes: this.#read_bytes() };
    queueMicrotask(() => this.settle());
  }

  /** Attributes what was freed so far to the last socket, and not to the next one that closes. */
  settle(): void {
    const last = this.#last;
    this.#last = undefined;
    if (last !== undefined) this.#onFreed(last.who, last.before_bytes - this.#read_bytes());
  }
}
