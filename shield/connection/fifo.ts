/**
 * The order of one connection: operations take effect in the order of arrival, for any duration of their preparation (a
 * signature, a policy). Up to `window` neighbours that allow it are prepared concurrently, so that policy calls of a
 * connection overlap; any other operation starts only after all earlier ones are done. `operations.ts` runs and refuses
 * operations.
 */

import type { Later, LaterWaiter } from "../../shared/turns/later.ts";
import type { HeaderPair } from "../message/caller.ts";

/** The result of a preparation: the headers that policies add to a message. */
export type Prepared = readonly HeaderPair[];

/** A pending preparation. */
export type PreparedLater = Promise<Prepared> | Later<Prepared>;

/** The steps of operations; `Item` is one of them, in its connection's FIFO. */
export interface OperationSteps<Item> {
  readonly window: number;
  /** Whether an operation may be prepared concurrently with others. */
  isPipelined(item: Item): boolean;
  /** Runs every check that can refuse an operation. Throws or rejects with the refusal. */
  prepare(item: Item): Prepared | PreparedLater;
  /** Makes it take effect; a promise blocks everything behind it. Throws or rejects with the refusal. */
  commit(item: Item, added: Prepared): Promise<void> | undefined;
  refuse(item: Item, error: unknown): void;
  /** Called if the operation must wait for its turn or for its commit, until `left`. */
  queued(item: Item): void;
  left(item: Item): void;
}

/** An operation that waits for its preparation, or its turn. */
class Entry<Item> implements LaterWaiter<Prepared> {
  readonly item: Item;
  readonly #fifo: Fifo<Item>;
  /** Whether its preparation has ended: with `prepared`, or an `error`. */
  is_over = false;
  prepared: Prepared | undefined;
  error: unknown;

  constructor(item: Item, fifo: Fifo<Item>) {
    this.item = item;
    this.#fifo = fifo;
  }

  passed(prepared: Prepared): void {
    this.is_over = true;
    this.prepared = prepared;
    this.#fifo.onPrepared(this);
  }

  /** A refusal is applied in the item's turn. */
  refused(error: unknown): void {
    this.is_over = true;
    this.error = error;
    this.#fifo.onPrepared(this);
  }

  await(preparing: PreparedLater): void {
    if (!(preparing instanceof Promise)) return preparing.tell(this);
    preparing.then((prepared) => this.passed(prepared), (error) => this.refused(error));
  }
}

const isPrepared = (prepared: Prepared | PreparedLater): prepared is Prepared =>
  Array.isArray(prepared);

/** The queue of one connection. */
export class Fifo<Item> {
  readonly #operations: OperationSteps<Item>;
  /** The operations; started ones come first. */
  #entries: Entry<Item>[] = [];
  #started = 0;
  /** True while the commit of a dequeued item runs. */
  #committing = false;
  #ended = false;

  constructor(operations: OperationSteps<Item>) {
    this.#operations = operations;
  }

  /** Adds an operation. It takes effect before this returns if nothing is queued and nothing must be waited for. */
  push(item: Item): void {
    if (this.#ended) return;
    if (this.#entries.length > 0 || this.#committing) {
      this.#wait(item);
      return this.#startMore();
    }
    let prepared: Prepared | PreparedLater;
    try {
      prepared = this.#operations.prepare(item);
    } catch (error) {
      return this.#operations.refuse(item, error);
    }
    if (isPrepared(prepared)) return this.#commit(item, prepared, false);
    this.#wait(item).await(prepared);
    this.#started = 1;
  }

  /** Drops the queue; nothing takes effect from now on. */
  end(): void {
    this.#ended = true;
    for (const { item } of this.#entries) this.#operations.left(item);
    this.#entries = [];
  }

  #wait(item: Item): Entry<Item> {
    const entry = new Entry(item, this);
    this.#entries.push(entry);
    this.#operations.queued(item);
    return entry;
  }

  onPrepared(entry: Entry<Item>): void {
    if (this.#entries[0] === entry) this.#advance();
  }

  /** Starts to prepare an entry. Never throws: a refusal is for its turn. */
  #prepare(entry: Entry<Item>): void {
    try {
      const prepared = this.#operations.prepare(entry.item);
      if (!isPrepared(prepared)) return entry.await(prepared);
      entry.prepared = prepared;
    } catch (error) {
      entry.error = error;
    }
    entry.is_over = true;
  }

  /** Starts the operations that may run concurrently with the started ones. */
  #startMore(): void {
    const { window } = this.#operations;
    while (this.#started < this.#entries.length && this.#started < window) {
      const entry = this.#entries[this.#started];
      const last = this.#entries[this.#started - 1];
      if (entry === undefined || this.#committing) return;
      if (last !== undefined && !this.#mayRunBeside(last.item, entry.item)) return;
      this.#started++;
      this.#prepare(entry);
    }
  }

  #mayRunBeside(before: Item, item: Item): boolean {
    const operations = this.#operations;
    return operations.isPipelined(before) && operations.isPipelined(item);
  }

  /** Commits the operations whose turn has come. */
  #advance(): void {
    while (!this.#committing && !this.#ended) {
      if (this.#started === 0) this.#startMore();
      const [head] = this.#entries;
      if (head?.is_over !== true) break;
      // The array is at most as long as the connection's limit, so `shift` is cheap.
      this.#entries.shift();
      this.#started--;
      const { item, prepared, error } = head;
      if (prepared === undefined) {
        this.#operations.refuse(item, error);
        this.#operations.left(item);
      } else this.#commit(item, prepared, true);
    }
    if (!this.#ended) this.#startMore();
  }

  /** Commits an operation; `queued`: it had to wait. */
  #commit(item: Item, prepared: Prepared, queued: boolean): void {
    const operations = this.#operations;
    let pending: Promise<void> | undefined;
    try {
      pending = operations.commit(item, prepared);
    } catch (error) {
      operations.refuse(item, error);
    }
    if (pending === undefined) {
      if (queued) operations.left(item);
      return;
    }
    if (!queued) operations.queued(item);
    this.#committing = true;
    pending.catch((error) => operations.refuse(item, error)).finally(() => {
      this.#committing = false;
      operations.left(item);
      this.#advance();
    });
  }
}
