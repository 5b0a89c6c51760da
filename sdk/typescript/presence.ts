/**
 * Who is in a room, as the program sees it: a live list, and its changes one after another. What
 * keeps the list right is `member_table.ts`.
 */
import { isSame } from "./member_table.ts";
import type { Member, MemberTable } from "./member_table.ts";

/**
 * What is different since the item before. A connection is in at most one of the three; who came and
 * went between two items is in none.
 */
export interface PresenceChanges {
  readonly joined: readonly Member[];
  /** As they are now: other metadata. */
  readonly updated: readonly Member[];
  /** As they were last. */
  readonly left: readonly Member[];
}

interface Waiter {
  resolve(result: IteratorResult<PresenceChanges, undefined>): void;
  reject(error: unknown): void;
}

/**
 * The members of a room while a subscription lasts: `subscription.presence`. Empty until the
 * subscription is `ready`; it stands still while the connection is lost, and after the end.
 */
export class Presence {
  readonly #table: MemberTable;
  readonly #feeds = new Set<ChangeFeed>();
  #end: { readonly error: unknown } | undefined;

  /** Made by `Room.subscribe`. */
  constructor(table: MemberTable) {
    this.#table = table;
  }

  /** The list by connection id; always the same object, and always as of now. */
  get members(): ReadonlyMap<string, Member> {
    return this.#table.members;
  }

  /** Connections in the room. */
  get count(): number {
    return this.#table.members.size;
  }

  /** Distinct users in the room: who is there with two connections counts once. */
  get users(): number {
    return this.#table.users;
  }

  /**
   * The changes from here on. The first item has everybody who is there as `joined`, so whoever
   * follows it needs nothing else. A loop that is slow finds several changes in one item and never
   * loses one; after a reconnect it finds what is different from before. Ends as the subscription's
   * own loop does.
   */
  changes(): AsyncIterableIterator<PresenceChanges, undefined> {
    const feed = new ChangeFeed(this.#table, () => this.#feeds.delete(feed));
    this.#feeds.add(feed);
    if (this.#end !== undefined) feed.end(this.#end.error);
    return feed;
  }

  /** For the subscription: it has ended, with `error` if any. */
  end(error?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    for (const feed of [...this.#feeds]) feed.end(error);
  }
}

/**
 * One loop over the changes. Keeps no queue, but what it has told and which connections may differ
 * from that: so it is bounded by the number of members, however slow the loop is.
 */
class ChangeFeed implements AsyncIterableIterator<PresenceChanges, undefined> {
  readonly #table: MemberTable;
  readonly #onEnd: () => void;
  readonly #stop: () => void;
  readonly #told = new Map<string, Member>();
  #different: Set<string>;
  #waiters: Waiter[] = [];
  #ended = false;
  #error: unknown;

  constructor(table: MemberTable, onEnd: () => void) {
    this.#table = table;
    this.#onEnd = onEnd;
    this.#different = new Set(table.members.keys());
    this.#stop = table.listen((connection_ids) => {
      for (const id of connection_ids) this.#different.add(id);
      this.#serve();
    });
  }

  next(): Promise<IteratorResult<PresenceChanges, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#serve();
    });
  }

  /** The consumer left the loop. */
  return(): Promise<IteratorResult<PresenceChanges, undefined>> {
    this.#different.clear();
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Nothing new comes. What was not told yet still is, then the iteration ends or throws `error`. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#stop();
    this.#onEnd();
    this.#serve();
  }

  #serve(): void {
    while (this.#waiters.length > 0) {
      const changes = this.#take();
      if (changes !== undefined) {
        this.#waiters.shift()?.resolve({ value: changes, done: false });
      } else if (this.#ended) {
        const error = this.#error;
        this.#error = undefined;
        const waiter = this.#waiters.shift();
        if (error === undefined) waiter?.resolve({ value: undefined, done: true });
        else waiter?.reject(error);
      } else {
        return;
      }
    }
  }

  /** What is different from what was told; undefined when nothing is. */
  #take(): PresenceChanges | undefined {
    if (this.#different.size === 0) return undefined;
    const joined: Member[] = [], updated: Member[] = [], left: Member[] = [];
    for (const id of this.#different) {
      const before = this.#told.get(id);
      const now = this.#table.members.get(id);
      if (now === undefined) {
        this.#told.delete(id);
        if (before !== undefined) left.push(before);
      } else if (before === undefined || !isSame(before, now)) {
        this.#told.set(id, now);
        (before === undefined ? joined : updated).push(now);
      }
    }
    this.#different = new Set();
    return joined.length + updated.length + left.length === 0
      ? undefined
      : { joined, updated, left };
  }
}
