/** The open connections of this process, by id and by user, so that a ban or a kick costs only as much as it closes. */
import { FewSet } from "../../shared/containers/few_set.ts";
import type { Connection } from "./connection.ts";

type Listed = Pick<Connection, "id" | "identity">;

/** The key of a user in maps; no id has a line break. */
const userKey = (tenant_id: string, user_id: string): string => `${tenant_id}\n${user_id}`;

/** Every connection from its upgrade to its end, at most `[limits] connections_per_process`. */
export class ConnectionTable<C extends Listed = Connection> implements Iterable<C> {
  readonly #by_id = new Map<string, C>();
  /** Most users have one connection. */
  readonly #by_user = new Map<string, FewSet<C>>();

  add(connection: C): void {
    this.#by_id.set(connection.id, connection);
    const key = userKey(connection.identity.tenant_id, connection.identity.user_id);
    const same = this.#by_user.get(key) ?? new FewSet<C>();
    same.add(connection);
    this.#by_user.set(key, same);
  }

  /** Removes a connection; false if it was absent. */
  delete(connection: C): boolean {
    if (!this.#by_id.delete(connection.id)) return false;
    const key = userKey(connection.identity.tenant_id, connection.identity.user_id);
    const same = this.#by_user.get(key);
    same?.delete(connection);
    if (same?.size === 0) this.#by_user.delete(key);
    return true;
  }

  /** The connection with that id, of any user. */
  get(connection_id: string): C | undefined {
    return this.#by_id.get(connection_id);
  }

  /** The users that have a connection, as `[tenant_id, user_id]`. */
  *users(): IterableIterator<readonly [tenant_id: string, user_id: string]> {
    for (const key of this.#by_user.keys()) {
      const end = key.indexOf("\n");
      yield [key.slice(0, end), key.slice(end + 1)];
    }
  }

  /** The connections of a user, as a new list, since they may end during an iteration. */
  ofUser(tenant_id: string, user_id: string): C[] {
    return [...this.#by_user.get(userKey(tenant_id, user_id))?.members ?? []];
  }

  /** The connection with that id, if it belongs to that tenant. */
  ofTenant(tenant_id: string, connection_id: string): C | undefined {
    const connection = this.#by_id.get(connection_id);
    return connection?.identity.tenant_id === tenant_id ? connection : undefined;
  }

  get size(): number {
    return this.#by_id.size;
  }

  [Symbol.iterator](): IterableIterator<C> {
    return this.#by_id.values();
  }
}
