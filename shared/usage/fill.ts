/**
 * How full the usage ledger is, as a metric and a log line, before its oldest blocks are removed: the ledger of all
 * tenants each time, single tenants in turn. `shield/usage/read.ts` reports removed ones.
 */
import type { Logger } from "../logs/log.ts";
import type { BlockStore } from "../spine/contract/block_store.ts";

/** Tenants checked each time. */
const AT_A_TIME = 4;
/** The threshold of the report, the same as in `deploy/prometheus/alerts.yml`. */
const HIGH_RATIO = 0.8;

interface LedgerFillOptions {
  /** The limit of one tenant's ledger. */
  readonly tenant_bytes: number;
  readonly log: Logger;
}

/** How full the ledger of one Shield's tenants is. */
export class LedgerFill {
  readonly #options: LedgerFillOptions;
  /** Tenants with new blocks since their last check, in turn. */
  readonly #due = new Set<string>();
  #all_ratio = 0;
  /** The checked tenant with the fullest ledger. */
  #fullest = { tenant_id: "", ratio: 0 };
  #is_logged = false;

  constructor(options: LedgerFillOptions) {
    this.#options = options;
  }

  /** The used share of the limits of all tenants together, and of the fullest tenant. */
  get ratios(): { readonly all: number; readonly tenant: number } {
    return { all: this.#all_ratio, tenant: this.#fullest.ratio };
  }

  /** A block of the tenant was stored. */
  stored(tenant_id: string): void {
    this.#due.add(tenant_id);
  }

  /** Checks, if anything was stored. Rejects with errors of the store. */
  async look(store: Pick<BlockStore, "room" | "status">): Promise<void> {
    if (this.#due.size === 0) return;
    const { bytes, max_bytes } = await store.room();
    this.#all_ratio = bytes / max_bytes;
    for (const tenant_id of [...this.#due].slice(0, AT_A_TIME)) {
      this.#due.delete(tenant_id);
      const ratio = (await store.status(tenant_id)).bytes / this.#options.tenant_bytes;
      const is_fullest = tenant_id === this.#fullest.tenant_id || ratio > this.#fullest.ratio;
      if (is_fullest) this.#fullest = { tenant_id, ratio };
    }
    this.#tell();
  }

  #tell(): void {
    const { all, tenant } = this.ratios;
    const is_high = Math.max(all, tenant) > HIGH_RATIO;
    if (is_high && !this.#is_logged) {
      this.#options.log.warn("the ledger of use is nearly full: its oldest goes before its time", {
        used_ratio: Math.max(all, tenant),
        ...(tenant > HIGH_RATIO ? { tenant_id: this.#fullest.tenant_id } : {}),
        remedy: "raise [usage] log_bytes",
      });
    }
    this.#is_logged = is_high;
  }
}
