/** A bounded queue between a socket and a loop: one marker replaces dropped items. */
import { ArqonError } from "@arqon/proto";

/** An async iterator. Any number of `next` calls may be pending; they are served in order. */
export class Pull<T> implements AsyncIterableIterator<T, undefined> {
  #take: () => T | undefined;
  readonly #onEnd: () => void;
  readonly #waiting: PromiseWithResolvers<IteratorResult<T, undefined>>[] = [];
  /** True once no new items come. */
  ended = false;
  #error: unknown;

  /** `take` returns the next item; undefined: none now. `onEnd` is called once. */
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

  /** The consumer stops: no further items. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.drop();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** As `end`, but drops the queued items. */
  drop(error?: unknown): void {
    this.#take = () => undefined;
    this.end(error);
  }

  /** Call it when there may be items to take. */
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
        // Thrown once; after that the iteration is done.
        this.#error = undefined;
        waiter?.reject(error);
      }
    }
  }

  /** Ends the iteration: queued items are still delivered, then it ends, or throws `error`. */
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

/**
 * What a full buffer does with a new item. "drop-newest": drops it; "drop-oldest": drops older ones; one marker
 * replaces the dropped items. "error": after the queued items the iteration throws `slow-consumer`.
 */
export type Overflow = "drop-newest" | "drop-oldest" | "error";

/** The bounds of one buffer, and functions for its items. */
interface MessageBufferOptions<T> {
  /** The most queued items. */
  readonly buffer: number;
  /** The most queued bytes. */
  readonly buffer_bytes: number;
  readonly on_overflow: Overflow;
  /** Size of an item in bytes. */
  readonly sizeOf: (item: T) => number;
  /** Creates the marker for `count` dropped items. */
  readonly gap: (count: number) => T;
  /** Called once when the consumer stops iterating or the buffer ends. */
  readonly onEnd?: () => void;
}

/** The queue of one loop. `push` and `end` are the socket's side, iterating is the consumer's. */
export class MessageBuffer<T> extends Pull<T> {
  readonly #options: MessageBufferOptions<T>;
  #items: T[] = [];
  /** Index of the first item not yet taken: shifting an array of thousands would be quadratic. */
  #head = 0;
  #bytes = 0;
  #lost = 0;

  constructor(options: MessageBufferOptions<T>) {
    super(() => this.#next(), () => options.onEnd?.());
    this.#options = options;
  }

  /** Items waiting for the consumer. */
  get size(): number {
    return Math.max(0, this.#items.length - this.#head);
  }

  /** Adds an item; it is dropped if the buffer is full or has ended. */
  push(item: T): void {
    if (this.ended) return;
    const { on_overflow, sizeOf } = this.#options;
    const size_bytes = sizeOf(item);
    if (on_overflow === "drop-oldest") {
      for (; this.isFull(size_bytes); this.#lost += 1) this.#take();
    } else if (this.isFull(size_bytes)) {
      if (on_overflow === "error") this.end(new ArqonError("slow-consumer"));
      else this.#lost += 1;
      return;
    } else if (this.#lost > 0) {
      this.#append(this.#takeGap());
    }
    this.#append(item);
    this.serve();
  }

  /** As `end`, but what is queued is dropped. */
  override drop(error?: unknown): void {
    this.#items = [];
    super.drop(error);
  }

  /** Takes the next item, or the marker at the position of the dropped ones. */
  #next(): T | undefined {
    const gap_first = this.#options.on_overflow === "drop-oldest" || this.size === 0;
    if (this.#lost > 0 && gap_first) return this.#takeGap();
    return this.size > 0 ? this.#take() : undefined;
  }

  /** Whether an item of this size exceeds this share of the bounds. */
  isFull(size_bytes: number, share = 1): boolean {
    const { buffer, buffer_bytes } = this.#options;
    const bytes = this.#bytes + size_bytes;
    return this.size >= share * buffer || (this.size > 0 && bytes > share * buffer_bytes);
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
}
