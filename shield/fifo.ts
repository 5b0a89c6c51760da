/**
 * The order of one connection: what is pushed takes effect in that order, whatever its preparation
 * (a signature, a policy) takes. Up to `window` neighbours that say so are prepared side by side, so
 * that a connection is not as slow as one policy call after another; everything else is started only
 * when all before it is done. Knows nothing of operations or limits.
 */

/** Makes an item take effect; a promise holds everything behind it until it settles. */
export type Commit = () => Promise<void> | undefined;

/** What a FIFO does with its items. */
export interface FifoOptions<Item> {
  /** Preparations under way at once. */
  readonly window: number;
  /** Whether it may be prepared while others of its kind before it still are. */
  readonly isPipelined: (item: Item) => boolean;
  /** Throws or rejects with what refuses the item. */
  readonly prepare: (item: Item) => Commit | Promise<Commit>;
  /** A refusal, in the item's turn. */
  readonly onError: (item: Item, error: unknown) => void;
  /** It has to wait. */
  readonly onQueued: (item: Item) => void;
  /** It waits no longer. */
  readonly onLeft: (item: Item) => void;
}

type Outcome = { readonly commit: Commit } | { readonly error: unknown };

interface Entry<Item> {
  readonly item: Item;
  /** Undefined while its preparation is under way. */
  outcome: Outcome | undefined;
}

/** One connection's queue. */
export class Fifo<Item> {
  readonly #options: FifoOptions<Item>;
  /** Those that are started come first. */
  #entries: Entry<Item>[] = [];
  #started = 0;
  /** The commit of an item that is no longer in the queue is under way. */
  #committing = false;
  #ended = false;

  constructor(options: FifoOptions<Item>) {
    this.#options = options;
  }

  /** Takes effect before this returns when nothing is before it and nothing must be waited for. */
  push(item: Item): void {
    if (this.#ended) return;
    if (this.#entries.length === 0 && !this.#committing) {
      const outcome = this.#prepare(item);
      if (!(outcome instanceof Promise)) return this.#settle(item, outcome);
      this.#wait(item, outcome);
      this.#started = 1;
      return;
    }
    this.#wait(item, undefined);
    this.#startMore();
  }

  /** Forgets what waits; nothing takes effect from now on. */
  end(): void {
    this.#ended = true;
    for (const { item } of this.#entries) this.#options.onLeft(item);
    this.#entries = [];
  }

  #wait(item: Item, preparing: Promise<Outcome> | undefined): void {
    const entry: Entry<Item> = { item, outcome: undefined };
    this.#entries.push(entry);
    this.#options.onQueued(item);
    if (preparing !== undefined) this.#await(entry, preparing);
  }

  #await(entry: Entry<Item>, preparing: Promise<Outcome>): void {
    preparing.then((outcome) => {
      entry.outcome = outcome;
      if (this.#entries[0] === entry) this.#advance();
    });
  }

  /** Never rejects: a refusal is an outcome, for the item's turn. */
  #prepare(item: Item): Outcome | Promise<Outcome> {
    try {
      const prepared = this.#options.prepare(item);
      if (!(prepared instanceof Promise)) return { commit: prepared };
      return prepared.then((commit) => ({ commit }), (error) => ({ error }));
    } catch (error) {
      return { error };
    }
  }

  /** Starts what may run beside what is started already. */
  #startMore(): void {
    const { window, isPipelined } = this.#options;
    while (this.#started < this.#entries.length && this.#started < window) {
      const entry = this.#entries[this.#started];
      const last = this.#entries[this.#started - 1];
      if (entry === undefined || this.#committing) return;
      if (last !== undefined && !(isPipelined(last.item) && isPipelined(entry.item))) return;
      this.#started++;
      const outcome = this.#prepare(entry.item);
      if (outcome instanceof Promise) this.#await(entry, outcome);
      else entry.outcome = outcome;
    }
  }

  /** Lets everything take effect whose turn has come. */
  #advance(): void {
    while (!this.#committing && !this.#ended) {
      if (this.#started === 0) this.#startMore();
      const [head] = this.#entries;
      if (head?.outcome === undefined) break;
      // At most as long as the connection's limit, so that shift stays cheap.
      this.#entries.shift();
      this.#started--;
      this.#options.onLeft(head.item);
      this.#settle(head.item, head.outcome);
    }
    if (!this.#ended) this.#startMore();
  }

  #settle(item: Item, outcome: Outcome): void {
    const { onError } = this.#options;
    if ("error" in outcome) return onError(item, outcome.error);
    try {
      const pending = outcome.commit();
      if (pending === undefined) return;
      this.#committing = true;
      pending.catch((error) => onError(item, error)).finally(() => {
        this.#committing = false;
        this.#advance();
      });
    } catch (error) {
      onError(item, error);
    }
  }
}
