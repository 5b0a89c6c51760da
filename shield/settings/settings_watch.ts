/**
 * What the watch of the tenants' settings is asked and counted for: who waits for a revision, and the
 * metrics. What it finds is `settings.ts`.
 */
import { Counter, scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";

/** Callers that wait for a revision, all tenants together; one more gets `false` at once. */
const WAITERS_MAX = 1_024;

interface Waiter {
  readonly revision: number;
  readonly resolve: (reached: boolean) => void;
}

/** Knows which revision of each tenant's document was heard of last. */
export class SettingsWaiters {
  readonly #revisions = new Map<string, number>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  #waiting = 0;

  /** Takes note that a revision of the tenant's document has been taken up, or found unreadable. */
  heard(tenant_id: string, revision: number): void {
    // Not the highest: an older copy of the bucket gives its revisions again.
    this.#revisions.set(tenant_id, revision);
    for (const waiter of [...this.#waiters.get(tenant_id) ?? []]) {
      if (waiter.revision <= revision) waiter.resolve(true);
    }
  }

  /** Resolves with true once that revision, or a later one, has been heard of, else with false. */
  async reached(tenant_id: string, revision: number, timeout_ms: number): Promise<boolean> {
    if ((this.#revisions.get(tenant_id) ?? 0) >= revision) return true;
    if (this.#waiting >= WAITERS_MAX) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = { revision, resolve };
    const waiters = this.#waiters.get(tenant_id) ?? new Set();
    this.#waiters.set(tenant_id, waiters.add(waiter));
    this.#waiting++;
    const timer = setTimeout(() => resolve(false), timeout_ms);
    const reached = await promise;
    clearTimeout(timer);
    this.#waiting--;
    waiters.delete(waiter);
    if (waiters.size === 0) this.#waiters.delete(tenant_id);
    return reached;
  }

  /** Nothing more will be heard. */
  close(): void {
    for (const waiters of this.#waiters.values()) {
      for (const { resolve } of [...waiters]) resolve(false);
    }
  }
}

/** Makes the metrics; the result counts documents and keys that could not be taken up. */
export function registerSettingsMetrics(
  registry: Registry,
  counts: () => { readonly documents: number; readonly unreadable: number },
): { readonly unreadable: () => void } {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    scrapedGauge(registry, name, help, read);
  gauge(
    "shield_settings_documents",
    "Tenants with run-time settings.",
    () => counts().documents,
  );
  gauge(
    "shield_settings_unreadable",
    "Tenants whose latest settings cannot be read; those before are in force.",
    () => counts().unreadable,
  );
  const problems = new Counter({
    name: "shield_settings_problems_total",
    help: "Documents and keys of the settings bucket that could not be taken up.",
    registers,
  });
  return { unreadable: () => problems.inc() };
}
