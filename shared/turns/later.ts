/**
 * What is there only later, told in the very turn in which it is: a promise reports about it by another turn of
 * microtasks, and so does each step behind it. One waits for it. Who does not mind awaits it like a promise.
 */

/** Who waits for a value. */
export interface LaterWaiter<T> {
  passed(value: T): void;
  refused(error: unknown): void;
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

/** A value that is there later, or an error in its place. */
export class Later<T> implements PromiseLike<T> {
  #waiter: LaterWaiter<T> | undefined;
  #onRefused: ((error: unknown) => void) | undefined;
  /** What it came to before anybody waited. */
  #missed: Outcome<T> | undefined;

  /** Has the waiter told, never before this has returned. Throws when there is one already. */
  tell(waiter: LaterWaiter<T>): void {
    if (this.#waiter !== undefined) throw new TypeError("somebody waits for it already");
    this.#waiter = waiter;
    const missed = this.#missed;
    if (missed === undefined) return;
    queueMicrotask(() => {
      if ("error" in missed) waiter.refused(missed.error);
      else waiter.passed(missed.value);
    });
  }

  /** Calls this before the waiter when it comes to an error. It must not throw. */
  watch(onRefused: (error: unknown) => void): void {
    this.#onRefused = onRefused;
  }

  /** The value is there. Whoever has made a `Later` calls this or `refuse`, once, after it was handed out. */
  pass(value: T): void {
    if (this.#waiter === undefined) this.#missed = { value };
    else this.#waiter.passed(value);
  }

  /** There will be no value. */
  refuse(error: unknown): void {
    this.#onRefused?.(error);
    if (this.#waiter === undefined) this.#missed = { error };
    else this.#waiter.refused(error);
  }

  /** For `await`. */
  then<A = T, B = never>(
    onPassed?: ((value: T) => A | PromiseLike<A>) | null,
    onRefused?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.tell({ passed: resolve, refused: reject });
    return promise.then(onPassed, onRefused);
  }
}
