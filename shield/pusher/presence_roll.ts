/**
 * The members of a presence channel for its clients: its users instead of the bus's connections. Pure. A user is
 * present from the first of its connections to the last.
 */

export interface RoomMember {
  readonly connection_id: string;
  readonly user_id: string;
  readonly meta?: unknown;
}

interface ChannelUser {
  readonly id: string;
  /** `user_info` as JSON text; "null" without any. */
  readonly info: string;
}

/** The user in the `channel_data` of a presence channel; undefined if it has none. */
export function readChannelData(text: unknown): ChannelUser | undefined {
  let data: unknown;
  try {
    data = typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
  return typeof data === "object" && data !== null ? userIn(data) : undefined;
}

/** Clients get ids as strings; backends also send numbers. */
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

  /** `isClient`: whether a user of the bus is a client of an app. A client's own metadata is signed. */
  constructor(isClient: (user_id: string) => boolean) {
    this.#isClient = isClient;
  }

  get size(): number {
    return this.#users.size;
  }

  /** Adds new or changed members; returns the new users. */
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

  /** Removes members; returns the ids of users whose last connection has left. */
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

  /** The user id of a message's sender; undefined: not in the channel. */
  nameOf(sender: string): string | undefined {
    return this.#names.get(sender);
  }

  /** The users' ids, in the order of joining. */
  ids(): string[] {
    return [...this.#users.keys()];
  }

  /** The member `presence` for a client that has joined, as JSON text. */
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
