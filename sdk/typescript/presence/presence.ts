/** Who is in a room: a live list, and its changes one after another. */
import { readPresenceLeave, readPresenceUpdate } from "@arqon/proto";
import type { PresenceChange, PresentMember } from "@arqon/proto";
import { HOLD_MS } from "../wire/bounds.ts";
import type { Json } from "../wire/json.ts";
import { malformed } from "../wire/wire_error.ts";
import { Pull } from "../message/message_buffer.ts";

/** One connection in a room. A user with several connections is several members. */
export interface Member {
  readonly connection_id: string;
  readonly user_id: string;
  /** What the member gave as `member_meta`; null when it gave nothing. */
  readonly meta: Json;
  /** Unix ms of the join, by its Shield's clock; an update of `meta` keeps it. */
  readonly joined_ms: number;
}

/** The number of members in a room. */
export interface MemberCount {
  readonly connections: number;
  /** The number of distinct users: somebody with two connections counts once. */
  readonly users: number;
}

/** A list of which not all pages have come: the answer to SUB is here. */
interface Filling {
  readonly members: Map<string, Member>;
  /** Connections that changed meanwhile: a later page is out of date about them. */
  readonly changed: Set<string>;
  pages_left: number;
  readonly source: object;
}

/** Learns which connections may be different now. */
type TableListener = (connection_ids: Iterable<string>) => void;

function memberOf({ connection_id, user_id, meta, joined_ms }: PresentMember): Member {
  return { connection_id, user_id, meta: meta === "" ? null : JSON.parse(meta), joined_ms };
}

/** Whether two members are the same, with the same metadata. */
function isSame(one: Member, other: Member): boolean {
  return one.joined_ms === other.joined_ms && one.user_id === other.user_id &&
    JSON.stringify(one.meta) === JSON.stringify(other.meta);
}

/** Reads what the result of a SUB's ACK and a page of `presence.list` have in common. */
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

/** The members of one room, as one client knows them. */
export class MemberTable {
  readonly #listeners = new Set<TableListener>();
  /** The members by connection id. */
  readonly members: Map<string, Member> = new Map<string, Member>();
  /** The number of distinct users, as the Shield last said. */
  users = 0;
  #filling: Filling | undefined;
  #following = false;
  /**
   * The session that the list came on; the former one until what the next list lacks had its time.
   */
  #source: object | undefined;
  #hold: ReturnType<typeof setTimeout> | undefined;
  /** How long those members may stay, in ms. */
  hold_ms = HOLD_MS;
  /** True once a whole list has come, on whichever connection. */
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

  /** Takes the data of a PRESENCE_UPDATE. Throws `DecodeError` or SyntaxError for what is none. */
  update(data: Uint8Array): void {
    const change = readPresenceUpdate(data);
    if (!this.#following) return;
    const members = change.members.map(memberOf);
    this.users = change.users;
    if (!this.#filling) return this.#apply(members, []);
    const { members: list, changed } = this.#filling;
    for (const member of members) {
      const id = member.connection_id;
      if (change.snapshot === true && changed.has(id)) continue;
      list.set(id, member);
      if (change.snapshot !== true) changed.add(id);
    }
    if (change.snapshot === true && --this.#filling.pages_left <= 0) this.#replace(this.#filling);
  }

  /** Takes the data of a PRESENCE_LEAVE. Throws `DecodeError` for what is none. */
  leave(data: Uint8Array): void {
    const change: PresenceChange = readPresenceLeave(data);
    if (!this.#following) return;
    const ids = change.members.map(({ connection_id }) => connection_id);
    this.users = change.users;
    for (const id of ids) {
      this.#filling?.members.delete(id);
      this.#filling?.changed.add(id);
    }
    this.#apply([], ids);
  }

  /** Takes note that the client has moved: the list does not change until its SUB is answered. */
  moved(): void {
    this.#following = false;
    this.#filling = undefined;
  }

  /** Takes note that the connection is gone: the list does not change until the next SUB. */
  lost(): void {
    this.moved();
    this.#source = undefined;
    clearTimeout(this.#hold);
  }

  #apply(members: readonly Member[], gone: readonly string[]): void {
    for (const member of members) this.members.set(member.connection_id, member);
    for (const id of gone) this.members.delete(id);
    const different = [...members.map(({ connection_id }) => connection_id), ...gone];
    for (const listener of [...this.#listeners]) listener(different);
  }

  /** Puts a whole list in place of the old one; the map is the same object, as programs hold it. */
  #replace({ members, source }: Filling): void {
    const missing = [...this.members].filter(([id]) => !members.has(id));
    const finish = (joined: readonly Member[]) => {
      this.#source = source;
      // Who was named again meanwhile is another object.
      const gone = missing.filter(([id, member]) => this.members.get(id) === member);
      this.#apply(joined, gone.map(([id]) => id));
    };
    this.#filling = undefined;
    this.complete = true;
    clearTimeout(this.#hold);
    const joined = [...members.values()];
    if ((this.#source ?? source) === source) return finish(joined);
    this.#apply(joined, []);
    this.#hold = setTimeout(() => finish([]), this.hold_ms);
  }
}

/** What has changed since the item before; who came and went in between is left out. */
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
   * The changes from here on; the first item has everybody who is there as `joined`. A slow loop
   * finds several changes in one item and loses none, over reconnects, too. Ends as the
   * subscription.
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
