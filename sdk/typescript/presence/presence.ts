/** The members of a room: a live list, and a stream of its changes. */
import { type PresentMember, readPresenceLeave, readPresenceUpdate } from "@arqon/proto";
import { HOLD_MS } from "../wire/bounds.ts";
import type { Json } from "../request/room_request.ts";
import { malformed } from "../wire/wire_error.ts";
import { Pull } from "../message/message_buffer.ts";

/** One connection in a room. A user with several connections is several members. */
export interface Member {
  readonly connection_id: string;
  readonly user_id: string;
  /** The member's `member_meta`; null if it has none. */
  readonly meta: Json;
  /** Unix ms of the join, by its Shield's clock; an update of `meta` keeps it. */
  readonly joined_ms: number;
}

/** The number of members in a room. */
export interface MemberCount {
  readonly connections: number;
  /** The number of distinct users: a user with two connections counts once. */
  readonly users: number;
}

/** A list with missing pages; the answer to SUB has arrived. */
interface Filling {
  readonly members: Map<string, Member>;
  /** Connections that changed meanwhile: later pages are stale about them. */
  readonly changed: Set<string>;
  pages_left: number;
  readonly source: object;
}

/** Receives the connections that may have changed. */
type TableListener = (connection_ids: Iterable<string>) => void;

function memberOf({ connection_id, user_id, meta, joined_ms }: PresentMember): Member {
  return { connection_id, user_id, meta: meta === "" ? null : JSON.parse(meta), joined_ms };
}

/** Reads the common part of a SUB's ACK and a page of `presence.list`. */
export function readMembers(value: unknown): { members: Member[] } & MemberCount {
  const { members, connections, users } = (value ?? {}) as Record<string, unknown>;
  if (!Array.isArray(members) || typeof connections !== "number" || typeof users !== "number") {
    throw malformed("no members");
  }
  return {
    members: members.map((member) => {
      const { connection_id, user_id, meta = null, joined_ms } = member ?? {};
      if (
        typeof connection_id === "string" && typeof user_id === "string" &&
        typeof joined_ms === "number"
      ) return { connection_id, user_id, meta, joined_ms };
      throw malformed("no members");
    }),
    connections,
    users,
  };
}

/** One client's list of the members of a room. */
export class MemberTable {
  readonly #listeners = new Set<TableListener>();
  /** The members by connection id. */
  readonly members: Map<string, Member> = new Map<string, Member>();
  /** The number of distinct users, as last reported by the Shield. */
  users = 0;
  #filling: Filling | undefined;
  #following = false;
  /** The session of the last whole list. */
  #source: object | undefined;
  /** Members that only previous Shields have named: one that is reported again is another object. */
  readonly #held = new Set<Member>();
  #hold: ReturnType<typeof setTimeout> | undefined;
  /** How long such members stay, in ms. */
  hold_ms = HOLD_MS;
  /** True once a whole list has arrived, on any connection. */
  complete = false;

  /** Calls back after every change until the returned function is called. */
  listen(listener: TableListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Begins a new list from a SUB's ACK on session `source`. Throws `malformed-frame`. */
  begin(value: unknown, source: object = this): void {
    const { members, users } = readMembers(value);
    const { pages } = value as { pages?: unknown };
    const filling: Filling = {
      members: new Map(members.map((member) => [member.connection_id, member])),
      changed: new Set(),
      pages_left: (typeof pages === "number" ? pages : 1) - 1,
      source,
    };
    this.#following = true;
    this.users = users;
    this.#filling = filling;
    if (filling.pages_left <= 0) this.#replace(filling);
  }

  /** Applies the data of a PRESENCE_UPDATE. Throws `DecodeError` or SyntaxError for invalid data. */
  update(data: Uint8Array): void {
    const { users, snapshot, ...change } = readPresenceUpdate(data);
    if (!this.#following) return;
    const members = change.members.map(memberOf);
    this.users = users;
    const filling = this.#filling;
    if (!filling) return this.#apply(members, []);
    for (const member of members) {
      const id = member.connection_id;
      if (snapshot && filling.changed.has(id)) continue;
      filling.members.set(id, member);
      if (!snapshot) filling.changed.add(id);
    }
    if (snapshot && --filling.pages_left <= 0) this.#replace(filling);
  }

  /** Applies the data of a PRESENCE_LEAVE. Throws `DecodeError` for invalid data. */
  leave(data: Uint8Array): void {
    const { members, users } = readPresenceLeave(data);
    if (!this.#following) return;
    const ids = members.map(({ connection_id }) => connection_id);
    this.users = users;
    for (const id of ids) {
      this.#filling?.members.delete(id);
      this.#filling?.changed.add(id);
    }
    this.#apply([], ids);
  }

  /** Records that the client has moved: the list does not change until its SUB is answered. */
  moved(): void {
    this.#following = false;
    this.#filling = undefined;
  }

  /** Records that the connection is lost: the list does not change until the next SUB. */
  lost(): void {
    this.moved();
    this.#source = undefined;
    this.#held.clear();
    clearTimeout(this.#hold);
  }

  #apply(members: readonly Member[], gone: readonly string[]): void {
    for (const member of members) this.members.set(member.connection_id, member);
    for (const id of gone) this.members.delete(id);
    const different = [...members.map(({ connection_id }) => connection_id), ...gone];
    for (const listener of [...this.#listeners]) listener(different);
  }

  /** Replaces the whole list in the same map object, which programs keep. */
  #replace({ members, source }: Filling): void {
    const missing = [...this.members].filter(([id, member]) =>
      !members.has(id) && !this.#held.has(member)
    );
    for (const [, member] of missing) this.#held.add(member);
    const gone = () =>
      missing.filter(([id, member]) => this.#held.delete(member) && this.members.get(id) === member)
        .map(([id]) => id);
    const stays = (this.#source ?? source) === source;
    this.#source = source;
    this.#filling = undefined;
    this.complete = true;
    this.#apply([...members.values()], stays ? gone() : []);
    if (!stays) this.#hold = setTimeout(() => this.#apply([], gone()), this.hold_ms);
  }
}

/** The changes since the previous item; members that joined and left in between are omitted. */
export interface PresenceChanges {
  readonly joined: readonly Member[];
  /** Members with changed metadata, in their present state. */
  readonly updated: readonly Member[];
  /** Members that left, in their last state. */
  readonly left: readonly Member[];
}

/**
 * The members of a room during a subscription: `subscription.presence`. Empty until the subscription is `ready`; it
 * does not change while disconnected, and after the end.
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

  /** The number of distinct users in the room: a user with two connections counts once. */
  get users(): number {
    return this.#table.users;
  }

  /**
   * The changes from now on; the first item has all present members as `joined`. A slow loop gets several changes in
   * one item and misses none, also over reconnects. Ends with the subscription.
   */
  changes(): AsyncIterableIterator<PresenceChanges, undefined> {
    const known = new Map<string, Member>();
    const different = new Set(this.#table.members.keys());
    const feed = new Pull(() => this.#take(known, different), () => {
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
   * The changes since the members in `told`; undefined without changes. A loop keeps no queue, only these two
   * collections, so that the number of members bounds a slow loop.
   */
  #take(known: Map<string, Member>, different: Set<string>): PresenceChanges | undefined {
    const joined: Member[] = [], updated: Member[] = [], left: Member[] = [];
    for (const id of different) {
      const before = known.get(id);
      const now = this.#table.members.get(id);
      if (!now) {
        known.delete(id);
        if (before) left.push(before);
      } else if (JSON.stringify(before) !== JSON.stringify(now)) {
        known.set(id, now);
        (!before ? joined : updated).push(now);
      }
    }
    different.clear();
    return joined.length + updated.length + left.length === 0
      ? undefined
      : { joined, updated, left };
  }
}
