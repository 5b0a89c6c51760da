/**
 * Who is in a room, as the program sees it: a live list, and its changes one after another. What
 * keeps the list right is `member_table.ts`.
 */
import { isSame } from "./member_table.ts";
import type { Member, MemberTable } from "./member_table.ts";
import { Pull } from "../message/pull.ts";

/**
 * What has changed since the item before. A connection is in at most one of the three lists; one
 * that came and went between two items is in none.
 */
export interface PresenceChanges {
  readonly joined: readonly Member[];
  /** Members whose metadata changed, as they are now. */
  readonly updated: readonly Member[];
  /** Members that left, as they last were. */
  readonly left: readonly Member[];
}

/**
 * The members of a room while a subscription lasts: `subscription.presence`. Empty until the
 * subscription is `ready`; it does not change while the connection is lost, and after the end.
 */
export class Presence {
  readonly #table: MemberTable;
  readonly #feeds = new Set<Pull<PresenceChanges>>();
  #end: { readonly error: unknown } | undefined;

  /** Made by `Room.subscribe`. */
  constructor(table: MemberTable) {
    this.#table = table;
  }

  /** The members by connection id; always the same object, always up to date. */
  get members(): ReadonlyMap<string, Member> {
    return this.#table.members;
  }

  /** The number of connections in the room. */
  get count(): number {
    return this.#table.members.size;
  }

  /** The number of distinct users in the room: somebody with two connections counts once. */
  get users(): number {
    return this.#table.users;
  }

  /**
   * The changes from here on. The first item has everybody who is there as `joined`, so whoever
   * follows the loop needs nothing else. A slow loop finds several changes in one item and never
   * loses one; after a reconnect it finds what is different from before. It ends as the
   * subscription's own loop does.
   */
  changes(): AsyncIterableIterator<PresenceChanges, undefined> {
    const told = new Map<string, Member>();
    const different = new Set(this.#table.members.keys());
    const feed = new Pull(() => this.#take(told, different), () => {
      stop();
      this.#feeds.delete(feed);
    });
    const stop = this.#table.listen((connection_ids) => {
      for (const id of connection_ids) different.add(id);
      feed.serve();
    });
    this.#feeds.add(feed);
    if (this.#end) feed.end(this.#end.error);
    return feed;
  }

  /** Called by the subscription when it has ended, with `error` if any. */
  end(error?: unknown): void {
    if (this.#end) return;
    this.#end = { error };
    for (const feed of [...this.#feeds]) feed.end(error);
  }

  /**
   * The changes since the members in `told`; undefined when there are none. A loop keeps no queue,
   * only these two maps, so that the number of members bounds it, however slow it is.
   */
  #take(told: Map<string, Member>, different: Set<string>): PresenceChanges | undefined {
    const joined: Member[] = [], updated: Member[] = [], left: Member[] = [];
    for (const id of different) {
      const before = told.get(id);
      const now = this.#table.members.get(id);
      if (!now) {
        told.delete(id);
        if (before) left.push(before);
      } else if (!before || !isSame(before, now)) {
        told.set(id, now);
        (!before ? joined : updated).push(now);
      }
    }
    different.clear();
    return joined.length + updated.length + left.length === 0
      ? undefined
      : { joined, updated, left };
  }
}
