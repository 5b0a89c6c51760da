/**
 * The order of one connection: operations take effect in the order in which they were pushed, however
 * long their preparation (a signature, a policy) takes. Up to `window` neighbours that allow it are
 * prepared side by side, so that a connection is not as slow as one policy call after another; any
 * other operation is started only when all before it are done. What an operation does and what refuses
 * it is `operations.ts`.
 */

import type { ClientOperation } from "@arqon/proto";
import type { HeaderPair } from "../message/caller.ts";
import type { Connection } from "./connection.ts";
import type { Operations } from "./operations.ts";

/** An operation in its connection's FIFO. */
export interface Queued {
  readonly connection: Connection;
  readonly operation: ClientOperation;
  readonly size_bytes: number;
  /** The place of its frame among those of the connection. */
  readonly place: number;
}

/** The result of a preparation: the headers that policies add to a message. */
export type Prepared = readonly HeaderPair[];

/** What the FIFO asks of `Operations`, without what only that class knows. */
export type OperationSteps = Pick<Operations, keyof Operations>;

type Outcome = { readonly prepared: Prepared } | { readonly error: unknown };

interface Entry {
  readonly item: Queued;
  /** Undefined while its preparation is under way. */
  outcome: Outcome | undefined;
}

/** The queue of one connection. */
export class Fifo {
  readonly #operations: OperationSteps;
  /** The operations; those that are started come first. */
  #entries: Entry[] = [];
  #started = 0;
  /** True while the commit of an item that has left the queue is under way. */
  #committing = false;
  #ended = false;

  constructor(operations: OperationSteps) {
    this.#operations = operations;
  }

  /**
   * Adds an operation. It takes effect before this returns when nothing is before it and nothing must
   * be waited for.
   */
  push(item: Queued): void {
    if (this.#ended) return;
    if (this.#entries.length > 0 || this.#committing) {
      this.#wait(item);
      return this.#startMore();
    }
    let prepared: Prepared | Promise<Prepared>;
    try {
      prepared = this.#operations.prepare(item);
    } catch (error) {
      return this.#operations.refuse(item, error);
    }
    if (!(prepared instanceof Promise)) return this.#commit(item, prepared, false);
    this.#await(this.#wait(item), prepared);
    this.#started = 1;
  }

  /** Drops what waits; nothing takes effect from now on. */
  end(): void {
    this.#ended = true;
    for (const { item } of this.#entries) this.#operations.left(item);
    this.#entries = [];
  }

  #wait(item: Queued): Entry {
    const entry: Entry = { item, outcome: undefined };
    this.#entries.push(entry);
    this.#operations.queued(item);
    return entry;
  }

  /** A refusal is an outcome, for the item's turn. */
  #await(entry: Entry, preparing: Promise<Prepared>): void {
    preparing.then(
      (prepared) => this.#prepared(entry, { prepared }),
      (error) => this.#prepared(entry, { error }),
    );
  }

  #prepared(entry: Entry, outcome: Outcome): void {
    entry.outcome = outcome;
    if (this.#entries[0] === entry) this.#advance();
  }

  /** Begins to prepare an entry. Never throws: a refusal is an outcome, for its turn. */
  #prepare(entry: Entry): void {
    try {
      const prepared = this.#operations.prepare(entry.item);
      if (prepared instanceof Promise) this.#await(entry, prepared);
      else entry.outcome = { prepared };
    } catch (error) {
      entry.outcome = { error };
    }
  }

  /** Starts the operations that may run beside those that are started already. */
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

  #mayRunBeside(before: Queued, item: Queued): boolean {
    const operations = this.#operations;
    return operations.isPipelined(before) && operations.isPipelined(item);
  }

  /** Lets operations take effect whose turn has come. */
  #advance(): void {
    while (!this.#committing && !this.#ended) {
      if (this.#started === 0) this.#startMore();
      const [head] = this.#entries;
      if (head?.outcome === undefined) break;
      // The array is at most as long as the connection's limit, so `shift` is cheap.
      this.#entries.shift();
      this.#started--;
      const { item, outcome } = head;
      if ("error" in outcome) {
        this.#operations.refuse(item, outcome.error);
        this.#operations.left(item);
      } else this.#commit(item, outcome.prepared, true);
    }
    if (!this.#ended) this.#startMore();
  }

  /** Commits an operation; `queued` says that it has had to wait. */
  #commit(item: Queued, prepared: Prepared, queued: boolean): void {
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
