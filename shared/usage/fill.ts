/**
 * How full the ledger of use is, as a metric and a line in the log, before the oldest of it goes: that of all
 * tenants each time, those of tenants in turn. What has gone then is reported by `shield/usage/read.ts`.
 */
import type { Logger } from "../logs/log.ts";
import type { BlockStore } from "../spine/contract/block_store.ts";

/** Tenants that are looked at each time. */
const AT_A_TIME = 4;
/** From there on it is reported; the alert of `deploy/prometheus/alerts.yml` has the same. */
const HIGH_RATIO = 0.8;

/** What it needs. */
export interface LedgerFillOptions {
  /** Of one tenant's ledger. */
  readonly tenant_bytes: number;
  readonly log: Logger;
}

/** How full the ledger is that one Shield writes to. */
export class LedgerFill {
  readonly #options: LedgerFillOptions;
  /** Tenants that have written since they were looked at, in turn. */
  readonly #due = new Set<string>();
  #all_ratio = 0;
  /** The tenant of those looked at whose ledger is the fullest. */
  #fullest = { tenant_id: "", ratio: 0 };
  #is_told = false;

  constructor(options: LedgerFillOptions) {
    this.#options = options;
  }

  /** The used part of what the ledger of all tenants, or that of the fullest one, may have. */
  get ratios(): { readonly all: number; readonly tenant: number } {
    return { all: this.#all_ratio, tenant: this.#fullest.ratio };
  }

  /** A block of the tenant was stored. */
  stored(tenant_id: string): void {
    this.#due.add(tenant_id);
  }

  /** Looks, when something was stored. Rejects as the store. */
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
    if (is_high && !this.#is_told) {
      this.#options.log.warn("the ledger of use is nearly full: its oldest goes before its time", {
        used_ratio: Math.max(all, tenant),
        ...(tenant > HIGH_RATIO ? { tenant_id: this.#fullest.tenant_id } : {}),
        remedy: "raise [usage] log_bytes",
      });
    }
    this.#is_told = is_high;
  }
}
