/**
 * A value that becomes available later and is delivered synchronously: a promise adds a turn of microtasks, and so does
 * each further step. It has one waiter. It can also be awaited like a promise.
 */

export interface LaterWaiter<T> {
  passed(value: T): void;
  refused(error: unknown): void;
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

/** A value, or an error, that becomes available later. */
export class Later<T> implements PromiseLike<T> {
  #waiter: LaterWaiter<T> | undefined;
  #onRefused: ((error: unknown) => void) | undefined;
  /** The outcome before there was a waiter. */
  #missed: Outcome<T> | undefined;

  /** Registers the waiter, which is never called before this has returned. Throws if there is already one. */
  tell(waiter: LaterWaiter<T>): void {
    if (this.#waiter !== undefined) throw new TypeError("it already has a waiter");
    this.#waiter = waiter;
    const missed = this.#missed;
    if (missed === undefined) return;
    queueMicrotask(() => {
      if ("error" in missed) waiter.refused(missed.error);
      else waiter.passed(missed.value);
    });
  }

  /** Registers a callback for an error, called before the waiter. It must not throw. */
  watch(onRefused: (error: unknown) => void): void {
    this.#onRefused = onRefused;
  }

  /** Delivers the value. The creator of a `Later` calls this or `refuse`, once, after returning it. */
  pass(value: T): void {
    if (this.#waiter === undefined) this.#missed = { value };
    else this.#waiter.passed(value);
  }

  /** Delivers an error instead of a value. */
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
