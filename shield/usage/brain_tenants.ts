/**
 * Tenants whose budgets a Brain found used up. A Shield reads them then, too, though nobody of theirs is here, and reports
 * them as others (`budget_notices.ts`).
 */
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { KvChange, KvWatch } from "../../shared/spine/contract/spine.ts";
import { EXHAUSTED_MARKS, markUntil } from "../../shared/usage/exhausted_marks.ts";
import type { UsageStores } from "../../shared/usage/usage_stores.ts";

/** For how long a tenant is read after a Brain said so, in ms: what fails is tried again with each reading. */
const READ_MS = 180_000;
/** Tenants that are remembered; of more the oldest are read where they use something. */
const TENANTS_MAX = 10_000;

/** What it needs of the process. */
export interface BrainTenantsOptions {
  readonly place: Pick<UsageStores, "running">;
  /** Unix ms. */
  readonly now: () => number;
  readonly monotonic_ms: () => number;
}

/** What one Shield has heard of Brains. */
export class BrainTenants {
  readonly #options: BrainTenantsOptions;
  /** When it was said, monotonic ms. */
  readonly #heard = new BoundedMap<string, number>(TENANTS_MAX);
  #watching: Promise<KvWatch | undefined> | undefined;
  #closed = false;

  constructor(options: BrainTenantsOptions) {
    this.#options = options;
  }

  /** The tenants to read now. Begins to listen; what cannot be opened yet is with the next reading. */
  active(): Iterable<string> {
    if (!this.#closed) this.#watching ??= this.#watch();
    const since_ms = this.#options.monotonic_ms() - READ_MS;
    for (const [tenant_id, heard_ms] of this.#heard) {
      // The oldest come first.
      if (heard_ms > since_ms) break;
      this.#heard.delete(tenant_id);
    }
    return this.#heard.keys();
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
      const watch = bucket.watch([EXHAUSTED_MARKS], (change) => this.#hear(change));
      watch.ready.catch(again);
      return watch;
    } catch {
      again();
      return undefined;
    }
  }

  #hear({ key: [, tenant_id = ""], value }: KvChange): void {
    if (value === undefined) return;
    const { now, monotonic_ms } = this.#options;
    if (markUntil(value) > now()) this.#heard.renew(tenant_id, monotonic_ms());
  }
}
