/**
 * A fair queue of upload checks: one FIFO queue per tenant, served round-robin. So no upload waits behind all uploads
 * of another tenant.
 */
import { ArqonError } from "@arqon/proto";

/** Checks that run at a time, one in each checking thread. */
const RUNNING_MAX = 2;
/** The most queued checks of all tenants. */
const WAITING_MAX = 256;
const RETRY_MS = 1_000;

/** The queues of one process. */
export class CheckQueue {
  /** The most queued checks of one tenant. */
  readonly #limits: { readonly admin_checks: number };
  /** The queues by tenant, in round-robin order. */
  readonly #queues = new Map<string, (() => void)[]>();
  /** Tenants with a running check: one at a time. */
  readonly #running = new Set<string>();
  #waiting = 0;
  refused = 0;

  constructor(limits: { readonly admin_checks: number }) {
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Runs `check` when it is the tenant's turn, and resolves as it does. Rejects with `too-many-pending` (429) if the
   * queue of the tenant, or of all tenants, is full.
   */
  async run<T>(tenant_id: string, check: () => Promise<T>): Promise<T> {
    await this.#turn(tenant_id);
    try {
      return await check();
    } finally {
      this.#running.delete(tenant_id);
      this.#next();
    }
  }

  #turn(tenant_id: string): Promise<void> {
    const queue = this.#queues.get(tenant_id) ?? [];
    if (queue.length >= this.#limits.admin_checks || this.#waiting >= WAITING_MAX) {
      this.refused++;
      throw new ArqonError(
        "too-many-pending",
        `${queue.length} modules and schemas of this tenant wait to be checked (limits.admin_checks)`,
        { retry_after_ms: RETRY_MS },
      );
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    queue.push(resolve);
    this.#waiting++;
    this.#queues.set(tenant_id, queue);
    this.#next();
    return promise;
  }

  #next(): void {
    for (const [tenant_id, queue] of this.#queues) {
      if (this.#running.size >= RUNNING_MAX) return;
      if (this.#running.has(tenant_id)) continue;
      const begin = queue.shift();
      // The tenant goes behind all others until its next turn.
      this.#queues.delete(tenant_id);
      if (queue.length > 0) this.#queues.set(tenant_id, queue);
      if (begin === undefined) continue;
      this.#waiting--;
      this.#running.add(tenant_id);
      begin();
    }
  }
}

/** Runs a check in the tenant's turn; at once if there is no queue. */
export function inTurn<T>(
  { checks }: { readonly checks?: Pick<CheckQueue, "run"> | undefined },
  tenant_id: string,
  check: () => Promise<T>,
): Promise<T> {
  return checks === undefined ? check() : checks.run(tenant_id, check);
}
