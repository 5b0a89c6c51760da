/** The bytes of a bucket, which its tenants share, for processes that do not watch it: they list it now and then. */
import { FairBound } from "../turns/fair_bound.ts";
import type { KeyValue, KvKey } from "./contract/spine.ts";
import { StorageFull } from "./contract/write_errors.ts";

/** Approximate bytes of an entry in a bucket beside its value: its key, and what the store notes. */
export const ENTRY_BYTES = 256;
/** Of the bucket, what tenants may fill: entries grow without asking, by a digit or a mark. */
export const FILLABLE = 0.875;
/** How long a list is used, in ms. */
const LISTED_MS = 60_000;
/** Of the bucket, what this process takes before it lists again: others take as much meanwhile. */
const UNLISTED = 1 / 64;

/**
 * The shares of one bucket, whose keys begin with the tenant. Others, of this process or of another, are known from the
 * list.
 */
export class BucketShares {
  readonly #monotonic_ms: () => number;
  /** As of the last list, and what this process took since. */
  #bytes = new FairBound(Infinity);
  #taken_bytes = 0;
  #listed_ms = -Infinity;
  #listing: Promise<void> | undefined;

  constructor(monotonic_ms = () => performance.now()) {
    this.#monotonic_ms = monotonic_ms;
  }

  /** Counts so many bytes more, if the tenant has room for them in a bounded bucket. Rejects as the bucket does. */
  async take(
    bucket: Pick<KeyValue, "limit_bytes" | "sizes">,
    tenant_id: string,
    more_bytes: number,
  ): Promise<boolean> {
    const { limit_bytes } = bucket;
    if (limit_bytes === undefined) return true;
    const is_old = this.#monotonic_ms() - this.#listed_ms >= LISTED_MS;
    if (is_old || this.#taken_bytes > limit_bytes * UNLISTED) {
      await (this.#listing ??= this.#list(bucket).finally(() => this.#listing = undefined));
    }
    if (!this.#bytes.hasRoom(tenant_id, more_bytes, limit_bytes * FILLABLE)) return false;
    this.#bytes.add(tenant_id, more_bytes);
    this.#taken_bytes += more_bytes;
    return true;
  }

  async #list(bucket: Pick<KeyValue, "sizes">): Promise<void> {
    const bytes = new FairBound(Infinity);
    for (const { key: [tenant_id = ""], size_bytes } of await bucket.sizes()) {
      bytes.add(tenant_id, size_bytes + ENTRY_BYTES);
    }
    this.#bytes = bytes;
    this.#taken_bytes = 0;
    this.#listed_ms = this.#monotonic_ms();
  }
}

/** The bucket as a tenant meets it: full for new entries above its share. */
export function inShares(bucket: KeyValue, shares = new BucketShares()): KeyValue {
  const requireRoom = async (key: KvKey, { length }: Uint8Array) => {
    const [tenant_id = ""] = key;
    if (await shares.take(bucket, tenant_id, length + ENTRY_BYTES)) return;
    if (await bucket.get(key) !== undefined) return;
    throw new StorageFull(`tenant ${tenant_id} has its share of the bucket`);
  };
  return {
    get: (key) => bucket.get(key),
    last: (key) => bucket.last(key),
    put: async (key, value) => {
      await requireRoom(key, value);
      return await bucket.put(key, value);
    },
    update: async (key, value, expected) => {
      if (expected === 0) await requireRoom(key, value);
      return await bucket.update(key, value, expected);
    },
    replace: async (key, value, last) => {
      await requireRoom(key, value);
      return await bucket.replace(key, value, last);
    },
    updateAll: async (updates) => {
      for (const { key, value } of updates) await requireRoom(key, value);
      return await bucket.updateAll(updates);
    },
    delete: (key, expected) => bucket.delete(key, expected),
    keys: (prefix) => bucket.keys(prefix),
    sizes: (prefix) => bucket.sizes(prefix),
    watch: (prefix, onChange, options) => bucket.watch(prefix, onChange, options),
    ...(bucket.storeTime && { storeTime: () => bucket.storeTime!() }),
    get limit_bytes() {
      return bucket.limit_bytes;
    },
  };
}
