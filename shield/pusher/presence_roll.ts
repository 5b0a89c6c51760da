/**
 * The members of a presence channel for its clients: users, where the bus has connections. Pure. A user is present from
 * the first of its connections to the last.
 */

/** A member of a room, in text clients' frames. */
export interface RoomMember {
  readonly connection_id: string;
  readonly user_id: string;
  readonly meta?: unknown;
}

/** A user of a presence channel. */
export interface ChannelUser {
  readonly id: string;
  /** `user_info` as JSON text; "null" without any. */
  readonly info: string;
}

/** What `channel_data` of a presence channel says. Undefined: it is not that of one. */
export function readChannelData(text: unknown): ChannelUser | undefined {
  let data: unknown;
  try {
    data = typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
  return typeof data === "object" && data !== null ? userIn(data) : undefined;
}

/** Ids are strings to clients; backends also send numbers. */
function userIn(data: { user_id?: unknown; user_info?: unknown }): ChannelUser | undefined {
  const { user_id, user_info = null } = data;
  if (typeof user_id !== "string" && typeof user_id !== "number") return undefined;
  const id = String(user_id);
  return id === "" ? undefined : { id, info: JSON.stringify(user_info) };
}

/** One channel. */
export class PresenceRoll {
  /** Users by their connections. */
  readonly #connections = new Map<string, string>();
  readonly #users = new Map<string, { readonly info: string; connections: number }>();
  readonly #names: Map<string, string> = new Map();
  readonly #isClient: (user_id: string) => boolean;

  /** `isClient`: whether a user of the bus is a client of an app: its own metadata is signed. */
  constructor(isClient: (user_id: string) => boolean) {
    this.#isClient = isClient;
  }

  get size(): number {
    return this.#users.size;
  }

  /** Takes members that have come or changed; returns the users that are new. */
  take(members: readonly RoomMember[]): ChannelUser[] {
    const added: ChannelUser[] = [];
    for (const { connection_id, user_id, meta } of members) {
      if (this.#connections.has(connection_id)) continue;
      const user = this.#userOf(user_id, meta);
      this.#connections.set(connection_id, user.id);
      if (this.#isClient(user_id)) this.#names.set(user_id, user.id);
      const known = this.#users.get(user.id);
      if (known !== undefined) known.connections++;
      else {
        this.#users.set(user.id, { info: user.info, connections: 1 });
        added.push(user);
      }
    }
    return added;
  }

  /** Takes members that have gone; returns the ids of users that have none left. */
  leave(members: readonly RoomMember[]): string[] {
    const removed: string[] = [];
    for (const { connection_id, user_id } of members) {
      const id = this.#connections.get(connection_id);
      const user = id === undefined ? undefined : this.#users.get(id);
      if (id === undefined || user === undefined) continue;
      this.#connections.delete(connection_id);
      this.#names.delete(user_id);
      if (--user.connections > 0) continue;
      this.#users.delete(id);
      removed.push(id);
    }
    return removed;
  }

  /** The user of a message's sender; undefined: not in the channel. */
  nameOf(sender: string): string | undefined {
    return this.#names.get(sender);
  }

  /** The users' ids, in the order in which they came. */
  ids(): string[] {
    return [...this.#users.keys()];
  }

  /** `presence` of a client that has joined, as JSON text. */
  text(): string {
    const ids = JSON.stringify([...this.#users.keys()]);
    const hash = [...this.#users].map(([id, { info }]) => `${JSON.stringify(id)}:${info}`).join();
    return `{"presence":{"ids":${ids},"hash":{${hash}},"count":${this.#users.size}}}`;
  }

  #userOf(user_id: string, meta: unknown): ChannelUser {
    const is_object = typeof meta === "object" && meta !== null;
    const user = is_object && this.#isClient(user_id) ? userIn(meta) : undefined;
    return user ?? { id: user_id, info: JSON.stringify(meta ?? null) };
  }
}
