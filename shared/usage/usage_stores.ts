/**
 * Where the ledger of use is kept: minutes that are over in a store of blocks, the minute that runs in a
 * bucket. Opened when it is needed first. Who counts is `ledger.ts`.
 */
import type { Config } from "../config/schema.ts";
import type { BlockStore } from "../spine/contract/block_store.ts";
import type { KeyValue, KvKey, Spine } from "../spine/contract/spine.ts";
import { type Loss, lossesOf } from "../lives/life.ts";
import type { Lives } from "../lives/lives.ts";
import { opened } from "../turns/opened.ts";

/** The bucket of running minutes. */
const USAGE_BUCKET = "ARQON_USAGE";
const DAY_SECONDS = 86_400;

/** The key of a minute that runs: of a node, its life and the minute's number. Of a tenant's all without more. */
export const runningKey = (tenant_id: string, ...whose: readonly string[]): KvKey => [
  "minute",
  tenant_id,
  ...whose,
];

/** What the place needs of the process. */
export interface UsageStoresOptions {
  readonly config: Pick<Config, "usage">;
  readonly spine: Pick<Spine, "blocks" | "keyValue">;
  readonly lives: Pick<Lives, "all" | "brains">;
  /** The life of this process, which is not over. */
  readonly own?: { readonly node_id: string; readonly began_ms: number };
}

/** The store and the bucket. What could not be opened is opened by the next who asks. */
export class UsageStores {
  readonly #options: UsageStoresOptions;

  constructor(options: UsageStoresOptions) {
    this.#options = options;
  }

  /** How long use is kept, in ms. */
  get kept_ms(): number {
    return this.#options.config.usage.retention_days * DAY_SECONDS * 1_000;
  }

  /** How often each process writes, in ms. */
  get flush_ms(): number {
    return this.#options.config.usage.flush_ms;
  }

  /** What Shields and Brains counted that ended before it was written. Rejects with `spine-unavailable`. */
  async losses(now_ms: number): Promise<readonly Loss[]> {
    const { lives, own } = this.#options;
    const all = await Promise.all([lives.all(), lives.brains()]);
    return all.flatMap((some) => lossesOf(some, "usage", now_ms, own));
  }

  /** Rejects with `log-unavailable` or `spine-unavailable`. */
  store: () => Promise<BlockStore> = opened(() => {
    const { spine, config: { usage } } = this.#options;
    const max_age_seconds = usage.retention_days * DAY_SECONDS;
    return spine.blocks("usage", { max_bytes: usage.log_bytes, max_age_seconds });
  });

  /** Rejects with `spine-unavailable`. */
  running: () => Promise<KeyValue> = opened(() =>
    this.#options.spine.keyValue(USAGE_BUCKET, { unwatched: true })
  );
}
