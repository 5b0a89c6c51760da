/**
 * One queue of checks for each tenant: uploads of its admins wait behind each other, and tenants take
 * turns. So no upload waits behind all uploads of another tenant. The caller says what a check does.
 */
import { ArqonError } from "@arqon/proto";
import { scrapedGauge } from "../../../shared/metrics/metrics.ts";
import type { Registry } from "../../../shared/metrics/metrics.ts";
import { scrapedCounter } from "../../../shared/metrics/metrics_plain.ts";

/** Checks that run at a time: the threads that do them are one each. */
const RUNNING_MAX = 2;
/** Checks of all tenants that wait. */
const WAITING_MAX = 256;
const RETRY_MS = 1_000;

/** The queues of one process. */
export class CheckQueue {
  /** How many checks of one tenant may wait. */
  readonly #limits: { readonly admin_checks: number };
  /** The queues by tenant, in the order of their turns. */
  readonly #queues = new Map<string, (() => void)[]>();
  /** Tenants of which a check runs: one at a time. */
  readonly #running = new Set<string>();
  #waiting = 0;
  /** Checks that were refused. */
  refused = 0;

  constructor(limits: { readonly admin_checks: number }) {
    this.#limits = limits;
  }

  /** Checks that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Runs `check` when it is the tenant's turn, and resolves as it does. Rejects with `too-many-pending`
   * (429) when too many of the tenant wait, or of all.
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
      // Behind all others until its next turn.
      this.#queues.delete(tenant_id);
      if (queue.length > 0) this.#queues.set(tenant_id, queue);
      if (begin === undefined) continue;
      this.#waiting--;
      this.#running.add(tenant_id);
      begin();
    }
  }
}

/** Runs a check in the tenant's turn, where there are turns. */
export function inTurn<T>(
  { checks }: { readonly checks?: Pick<CheckQueue, "run"> | undefined },
  tenant_id: string,
  check: () => Promise<T>,
): Promise<T> {
  return checks === undefined ? check() : checks.run(tenant_id, check);
}

/** Registers what is queued and what was refused. */
export function registerChecks(
  registry: Registry,
  checks: Pick<CheckQueue, "waiting" | "refused">,
): void {
  scrapedGauge(
    registry,
    "shield_admin_checks_waiting",
    "Modules and schemas of all tenants that wait to be checked.",
    () => checks.waiting,
  );
  scrapedCounter(
    registry,
    "shield_admin_checks_refused_total",
    "Modules and schemas that were refused because too many of their tenant waited to be checked.",
    () => checks.refused,
  );
}
