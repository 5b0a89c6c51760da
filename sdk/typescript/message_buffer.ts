/**
 * A bounded queue between a socket that pushes and a consumer that iterates. When it is full, new
 * items are dropped and the consumer finds one marker in their place, so a loss is never silent.
 * Not a stream: it cannot slow the sender down (browsers' WebSocket has no way to).
 */

/**
 * Bounds of one buffer, and what it needs to know of its items. A loop's buffer is made by
 * `Subscriptions`.
 */
export interface MessageBufferOptions<T> {
  readonly items_max: number;
  readonly bytes_max: number;
  /** Size of an item in bytes. */
  readonly sizeOf: (item: T) => number;
  /** Makes the marker for `count` dropped items. */
  readonly gap: (count: number) => T;
  /** Called once when the consumer stops iterating or the buffer ends. */
  readonly onEnd?: () => void;
}

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

/**
 * The queue of one loop. `push` and `end` are the socket's side, iterating is the consumer's; any
 * number of `next` calls may wait, and they are served in order.
 */
export class MessageBuffer<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: MessageBufferOptions<T>;
  #items: T[] = [];
  /** Index of the first item not yet taken: shifting an array of thousands would be quadratic. */
  #head = 0;
  #bytes = 0;
  #lost = 0;
  #waiters: Waiter<T>[] = [];
  #ended = false;
  #error: unknown;

  constructor(options: MessageBufferOptions<T>) {
    this.#options = options;
  }

  /** Items waiting for the consumer. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Bytes waiting for the consumer. */
  get size_bytes(): number {
    return this.#bytes;
  }

  /** Adds an item. Returns false when it was dropped because the buffer is full or has ended. */
  push(item: T): boolean {
    if (this.#ended) return false;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ value: item, done: false });
      return true;
    }
    const size_bytes = this.#options.sizeOf(item);
    const full = this.size >= this.#options.items_max ||
      (this.size > 0 && this.#bytes + size_bytes > this.#options.bytes_max);
    if (full) {
      this.#lost += 1;
      return false;
    }
    if (this.#lost > 0) this.#append(this.#takeGap());
    this.#append(item);
    return true;
  }

  /** No more items. What is buffered is still delivered, then the iteration ends, or throws `error`. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const waiter of this.#waiters.splice(0)) this.#finish(waiter);
    this.#options.onEnd?.();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.size > 0) return Promise.resolve({ value: this.#take(), done: false });
    if (this.#lost > 0) return Promise.resolve({ value: this.#takeGap(), done: false });
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      if (this.#ended) this.#finish(waiter);
      else this.#waiters.push(waiter);
    });
  }

  /** The consumer left the loop: what is buffered is dropped. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#lost = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #append(item: T): void {
    this.#items.push(item);
    this.#bytes += this.#options.sizeOf(item);
  }

  #take(): T {
    const item = this.#items[this.#head] as T;
    this.#items[this.#head] = undefined as T;
    this.#head += 1;
    this.#bytes -= this.#options.sizeOf(item);
    if (this.#head === this.#items.length || this.#head >= 1_024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  #takeGap(): T {
    const marker = this.#options.gap(this.#lost);
    this.#lost = 0;
    return marker;
  }

  /** The error is thrown once; after that the iteration is simply over. */
  #finish(waiter: Waiter<T>): void {
    const error = this.#error;
    this.#error = undefined;
    if (error === undefined) waiter.resolve({ value: undefined, done: true });
    else waiter.reject(error);
  }
}
