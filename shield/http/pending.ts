/**
 * Bounds how many HTTP requests of one user are under way: as many as one connection may have
 * operations. A request that waits for a version or for a slow Brain takes memory here, which rates
 * (`http_rates.ts`) do not bound.
 */
import { ArqonError } from "@arqon/proto";
import type { Identity } from "../auth/identity.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** The wait that is advised, in ms; the same as on a socket. */
const RETRY_MS = 100;

/** Requests under way, by user. */
export class PendingRequests {
  readonly #limits: { readonly pending_operations: number };
  readonly #stats: Pick<ShieldStats, "pending_operations">;
  readonly #users = new Map<string, number>();

  constructor(
    limits: { readonly pending_operations: number },
    stats: Pick<ShieldStats, "pending_operations">,
  ) {
    this.#limits = limits;
    this.#stats = stats;
  }

  /** Counts a request until it is disposed of. Throws `too-many-pending` (429). */
  enter({ tenant_id, user_key }: Pick<Identity, "tenant_id" | "user_key">): Disposable {
    const key = `${tenant_id}\n${user_key}`;
    const pending = this.#users.get(key) ?? 0;
    if (pending >= this.#limits.pending_operations) {
      const options = { retry_after_ms: RETRY_MS };
      throw new ArqonError("too-many-pending", `${pending} requests of this user`, options);
    }
    this.#users.set(key, pending + 1);
    this.#stats.pending_operations++;
    return { [Symbol.dispose]: () => this.#leave(key) };
  }

  #leave(key: string): void {
    this.#stats.pending_operations--;
    const pending = (this.#users.get(key) ?? 1) - 1;
    if (pending === 0) this.#users.delete(key);
    else this.#users.set(key, pending);
  }
}
