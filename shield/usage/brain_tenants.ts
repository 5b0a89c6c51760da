/**
 * Tenants with budgets that a Brain found exhausted. A Shield reads them even without clients of theirs, and reports
 * them (`budget_notices.ts`).
 */
import type { Env } from "../../shared/env.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { KvChange, KvWatch } from "../../shared/spine/contract/spine.ts";
import { EXHAUSTED_MARKS, untilOf } from "../../shared/usage/budget.ts";
import type { UsageStores } from "../../shared/usage/usage_stores.ts";

/** How long a tenant is read after a Brain's report, in ms: each reading retries failures. */
const READ_MS = 180_000;
/** The most remembered tenants. Beyond that, the oldest are only read on Shields where they use something. */
const TENANTS_MAX = 10_000;

/** The dependencies and settings of `BrainTenants`. */
interface BrainTenantsOptions extends Pick<Env, "now" | "monotonic_ms"> {
  readonly place: Pick<UsageStores, "running">;
}

/** The reports that one Shield has received from Brains. */
export class BrainTenants {
  readonly #options: BrainTenantsOptions;
  /** The time of each report, monotonic ms. */
  readonly #renewed = new BoundedMap<string, number>(TENANTS_MAX);
  #watching: Promise<KvWatch | undefined> | undefined;
  #closed = false;

  constructor(options: BrainTenantsOptions) {
    this.#options = options;
  }

  /** The tenants to read now. Starts to watch; a bucket that cannot be opened is retried at the next reading. */
  active(): Iterable<string> {
    if (!this.#closed) this.#watching ??= this.#watch();
    const since_ms = this.#options.monotonic_ms() - READ_MS;
    for (const [tenant_id, renewed_ms] of this.#renewed) {
      // The oldest come first.
      if (renewed_ms > since_ms) break;
      this.#renewed.delete(tenant_id);
    }
    return this.#renewed.keys();
  }

  async close(): Promise<void> {
    this.#closed = true;
    (await this.#watching)?.stop();
  }

  /** Never rejects. */
  async #watch(): Promise<KvWatch | undefined> {
    const again = () => void (this.#watching = undefined);
    try {
      const bucket = await this.#options.place.running();
      const watch = bucket.watch([EXHAUSTED_MARKS], (change) => this.#receive(change));
      watch.ready.catch(again);
      return watch;
    } catch {
      // Reading the budgets, which needs the same bucket, reports it.
      again();
      return undefined;
    }
  }

  #receive({ key: [, tenant_id = ""], value }: KvChange): void {
    if (value === undefined) return;
    const { now, monotonic_ms } = this.#options;
    if (untilOf(value) > now()) this.#renewed.renew(tenant_id, monotonic_ms());
  }
}
