/**
 * Limits the running HTTP requests of one user: the same as the operations of a connection. A request that waits for a
 * version or for a slow Brain takes memory here, which rates (`http_rates.ts`) do not limit.
 */
import { ArqonError } from "@arqon/proto";
import type { Identity } from "../auth/identity.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** The advised wait in ms; the same as on a socket. */
const RETRY_MS = 100;

/** The slot of one request, until it is disposed of. */
interface PendingPlace extends Disposable {
  /**
   * The client has disconnected: its slot is free, though the work may not have ended. As many abandoned requests as a
   * user may have running ones are allowed; another one keeps its slot until its end.
   */
  abandon(): void;
}

/** One user's running requests, and those whose client has disconnected. */
interface UserRequests {
  pending: number;
  abandoned: number;
}

/** Running requests, by user. */
export class PendingRequests {
  readonly #limits: { readonly pending_operations: number };
  readonly #stats: Pick<ShieldStats, "pending_operations">;
  readonly #users = new Map<string, UserRequests>();

  constructor(
    limits: { readonly pending_operations: number },
    stats: Pick<ShieldStats, "pending_operations">,
  ) {
    this.#limits = limits;
    this.#stats = stats;
  }

  /** Counts a request until it is disposed of. Throws `too-many-pending` (429). */
  enter({ tenant_id, user_key }: Pick<Identity, "tenant_id" | "user_key">): PendingPlace {
    const key = `${tenant_id}\n${user_key}`;
    const user = this.#users.get(key) ?? { pending: 0, abandoned: 0 };
    if (user.pending >= this.#limits.pending_operations) {
      const options = { retry_after_ms: RETRY_MS };
      throw new ArqonError("too-many-pending", `${user.pending} requests of this user`, options);
    }
    this.#users.set(key, user);
    this.#count(user, 1);
    let state: "pending" | "abandoned" | "left" = "pending";
    return {
      abandon: () => {
        if (state !== "pending" || user.abandoned >= this.#limits.pending_operations) return;
        state = "abandoned";
        user.abandoned++;
        this.#count(user, -1);
      },
      [Symbol.dispose]: () => {
        if (state === "pending") this.#count(user, -1);
        else if (state === "abandoned") user.abandoned--;
        state = "left";
        if (user.pending + user.abandoned === 0) this.#users.delete(key);
      },
    };
  }

  #count(user: UserRequests, more: number): void {
    user.pending += more;
    this.#stats.pending_operations += more;
  }
}
