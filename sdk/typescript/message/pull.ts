/**
 * One iteration over items that come by and by: the calls of `next` that wait, and the end. Its
 * owner gives the items.
 */

/** An iteration. Any number of `next` calls may wait; they are served in order. */
export class Pull<T> implements AsyncIterableIterator<T, undefined> {
  #take: () => T | undefined;
  readonly #onEnd: () => void;
  readonly #waiting: PromiseWithResolvers<IteratorResult<T, undefined>>[] = [];
  /** True when nothing new comes. */
  ended = false;
  #error: unknown;

  /** `take` gives the next item; undefined: there is none now. `onEnd` is called once. */
  constructor(take: () => T | undefined, onEnd: () => void) {
    this.#take = take;
    this.#onEnd = onEnd;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const waiter = Promise.withResolvers<IteratorResult<T, undefined>>();
    this.#waiting.push(waiter);
    this.serve();
    return waiter.promise;
  }

  /** The consumer leaves: nothing more is given. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.drop();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** As `end`, but items that are there are not given any longer. */
  drop(error?: unknown): void {
    this.#take = () => undefined;
    this.end(error);
  }

  /** To be called when there may be something to take. */
  serve(): void {
    while (this.#waiting.length > 0) {
      const value = this.#take();
      if (value === undefined && !this.ended) return;
      const waiter = this.#waiting.shift();
      const error = this.#error;
      if (value !== undefined) {
        waiter?.resolve({ value, done: false });
      } else if (error === undefined) {
        waiter?.resolve({ value: undefined, done: true });
      } else {
        // Thrown once; after that the iteration is simply over.
        this.#error = undefined;
        waiter?.reject(error);
      }
    }
  }

  /** Ends the iteration: items that are there are still given, then it ends, or throws `error`. */
  end(error?: unknown): void {
    if (this.ended) return;
    this.ended = true;
    this.#error = error;
    this.serve();
    this.#onEnd();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
