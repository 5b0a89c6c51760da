/**
 * The order of one connection: what is pushed takes effect in that order, whatever its preparation
 * (a signature, a policy) takes. Up to `window` neighbours that say so are prepared side by side, so
 * that a connection is not as slow as one policy call after another; everything else is started only
 * when all before it is done. Knows nothing of operations or limits.
 */

/** What a FIFO does with its items. `Prepared` is what a preparation gives: no promise, nothing that has a `then`. */
export interface FifoOptions<Item, Prepared> {
  /** Preparations under way at once. */
  readonly window: number;
  /** Whether it may be prepared while others of its kind before it still are. */
  readonly isPipelined: (item: Item) => boolean;
  /** Throws or rejects with what refuses the item. */
  readonly prepare: (item: Item) => Prepared | Promise<Prepared>;
  /**
   * Makes it take effect, in its turn; a promise holds everything behind it until it settles. Throws or
   * rejects with what refuses the item.
   */
  readonly commit: (item: Item, prepared: Prepared) => Promise<void> | undefined;
  /** A refusal, in the item's turn. */
  readonly onError: (item: Item, error: unknown) => void;
  /** Called when an operation has to wait, for its turn or for its commit. */
  readonly onQueued: (item: Item) => void;
  /** Once after that: it has taken effect, was refused, or is forgotten. */
  readonly onLeft: (item: Item) => void;
}

type Outcome<Prepared> = { readonly prepared: Prepared } | { readonly error: unknown };

interface Entry<Item, Prepared> {
  readonly item: Item;
  /** Undefined while its preparation is under way. */
  outcome: Outcome<Prepared> | undefined;
}

/** One connection's queue. */
export class Fifo<Item, Prepared> {
  readonly #options: FifoOptions<Item, Prepared>;
  /** The operations; those that are started come first. */
  #entries: Entry<Item, Prepared>[] = [];
  #started = 0;
  /** The commit of an item that is no longer in the queue is under way. */
  #committing = false;
  #ended = false;

  constructor(options: FifoOptions<Item, Prepared>) {
    this.#options = options;
  }

  /** Takes effect before this returns when nothing is before it and nothing must be waited for. */
  push(item: Item): void {
    if (this.#ended) return;
    if (this.#entries.length > 0 || this.#committing) {
      this.#wait(item, undefined);
      return this.#startMore();
    }
    let prepared: Prepared | Promise<Prepared>;
    try {
      prepared = this.#options.prepare(item);
    } catch (error) {
      return this.#options.onError(item, error);
    }
    if (!(prepared instanceof Promise)) return this.#commit(item, prepared, false);
    this.#wait(item, outcomeOf(prepared));
    this.#started = 1;
  }

  /** Forgets what waits; nothing takes effect from now on. */
  end(): void {
    this.#ended = true;
    for (const { item } of this.#entries) this.#options.onLeft(item);
    this.#entries = [];
  }

  #wait(item: Item, preparing: Promise<Outcome<Prepared>> | undefined): void {
    const entry: Entry<Item, Prepared> = { item, outcome: undefined };
    this.#entries.push(entry);
    this.#options.onQueued(item);
    if (preparing !== undefined) this.#await(entry, preparing);
  }

  #await(entry: Entry<Item, Prepared>, preparing: Promise<Outcome<Prepared>>): void {
    preparing.then((outcome) => {
      entry.outcome = outcome;
      if (this.#entries[0] === entry) this.#advance();
    });
  }

  /** Never rejects: a refusal is an outcome, for the item's turn. */
  #prepare(item: Item): Outcome<Prepared> | Promise<Outcome<Prepared>> {
    try {
      const prepared = this.#options.prepare(item);
      return prepared instanceof Promise ? outcomeOf(prepared) : { prepared };
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
      const { item, outcome } = head;
      if ("error" in outcome) {
        this.#options.onError(item, outcome.error);
        this.#options.onLeft(item);
      } else this.#commit(item, outcome.prepared, true);
    }
    if (!this.#ended) this.#startMore();
  }

  /** `queued`: it has had to wait already. */
  #commit(item: Item, prepared: Prepared, queued: boolean): void {
    const { commit, onError, onQueued, onLeft } = this.#options;
    let pending: Promise<void> | undefined;
    try {
      pending = commit(item, prepared);
    } catch (error) {
      onError(item, error);
    }
    if (pending === undefined) {
      if (queued) onLeft(item);
      return;
    }
    if (!queued) onQueued(item);
    this.#committing = true;
    pending.catch((error) => onError(item, error)).finally(() => {
      this.#committing = false;
      onLeft(item);
      this.#advance();
    });
  }
}

function outcomeOf<Prepared>(preparing: Promise<Prepared>): Promise<Outcome<Prepared>> {
  return preparing.then((prepared) => ({ prepared }), (error) => ({ error }));
}
