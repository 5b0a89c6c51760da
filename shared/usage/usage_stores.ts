/**
 * The stores of the usage ledger: finished minutes in a store of blocks, the running minute in a bucket. Opened on
 * first use. `ledger.ts` counts.
 */
import type { Config } from "../config/schema.ts";
import type { BlockStore } from "../spine/contract/block_store.ts";
import type { KeyValue, KvKey, Spine } from "../spine/contract/spine.ts";
import { type Loss, lossesOf } from "../lives/life.ts";
import type { Lives } from "../lives/lives.ts";
import { openOnce } from "../turns/once.ts";
import { slice } from "../turns/slices.ts";
import { encodeMinute } from "./minute.ts";

const USAGE_BUCKET = "ARQON_USAGE";
const DAY_SECONDS = 86_400;

/**
 * The key of a running minute: node, incarnation and the minute's number. Without these, the prefix of a tenant's
 * minutes.
 */
export const runningKey = (tenant_id: string, ...whose: readonly string[]): KvKey => [
  "minute",
  tenant_id,
  ...whose,
];

/** The node of the empty running minute of an erased tenant, whose incarnation is the time: no node has that name. */
export const ERASED = "+erased";

interface UsageStoresOptions {
  readonly config: Pick<Config, "usage">;
  readonly spine: Pick<Spine, "blocks" | "keyValue">;
  readonly lives: Pick<Lives, "all" | "brains">;
  readonly own?: { readonly node_id: string; readonly began_ms: number };
}

/** The store and the bucket. A failure to open is retried by the next caller. */
export class UsageStores {
  readonly #options: UsageStoresOptions;

  constructor(options: UsageStoresOptions) {
    this.#options = options;
  }

  /** How long usage is retained, in ms. */
  get kept_ms(): number {
    return this.#options.config.usage.retention_days * DAY_SECONDS * 1_000;
  }

  /** The writing interval of each process, in ms. */
  get flush_ms(): number {
    return this.#options.config.usage.flush_ms;
  }

  /** Counts of Shields and Brains that ended before writing them. Rejects with `spine-unavailable`. */
  async losses(now_ms: number): Promise<readonly Loss[]> {
    const { lives, own } = this.#options;
    const all = await Promise.all([lives.all(), lives.brains()]);
    return all.flatMap((some) => lossesOf(some, "usage", now_ms, own));
  }

  /** Rejects with `log-unavailable` or `spine-unavailable`. */
  store: () => Promise<BlockStore> = openOnce(() => {
    const { spine, config: { usage } } = this.#options;
    const max_age_seconds = usage.retention_days * DAY_SECONDS;
    return spine.blocks("usage", { max_bytes: usage.log_bytes, max_age_seconds });
  });

  /** Rejects with `spine-unavailable`. */
  running: () => Promise<KeyValue> = openOnce(() =>
    this.#options.spine.keyValue(USAGE_BUCKET, { unwatched: true })
  );

  /** Removes a tenant's running minutes, and tells readers that its blocks were erased. Rejects as the bucket does. */
  async eraseRunning(tenant_id: string, now_ms: number): Promise<void> {
    const bucket = await this.running();
    for (const key of await bucket.keys(runningKey(tenant_id))) {
      await slice(tenant_id);
      await bucket.delete(key);
    }
    const about = { life_ms: now_ms, seq: 0, minute: 0, until_ms: now_ms, rows: [] };
    await bucket.put(runningKey(tenant_id, ERASED, `${now_ms}`, "0"), encodeMinute(about));
  }
}
