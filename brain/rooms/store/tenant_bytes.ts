/**
 * How many bytes of the bucket each tenant's rooms take, so that one cannot fill it for all: what was
 * listed last, and what this Brain has written since. The other Brains are taken to write as much as
 * this one does, until a new listing tells. Which commands a full tenant may still send is `apply.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { KvKey, KvSize } from "../../../shared/spine/contract/spine.ts";

/** A key and what the store puts beside a value, about. */
export const ENTRY_BYTES = 256;
/** No tenant gets more of a bucket that is bounded: others write too, and Brains may count too little. */
const TENANT_PART = 1 / 4;
/** A tenant is not listed again before this time, nor before ten times what its last listing took. */
const RELIST_MS = 1_000;
const RELIST_TIMES = 10;

/** What the bytes of tenants need. */
export interface TenantBytesOptions {
  /** `[brain] room_bytes_per_tenant`. */
  readonly room_bytes_per_tenant: number;
  /** What the bucket takes; undefined: nothing bounds it. */
  readonly bucketBytes: () => number | undefined;
  /** All that is stored at and below the prefix. */
  readonly list: (prefix: KvKey) => Promise<readonly KvSize[]>;
  /** Brains that serve, this one among them. */
  readonly brains: () => number;
  /** Milliseconds that only grow. */
  readonly monotonic: () => number;
}

interface Usage {
  listed_bytes: number;
  /** What this Brain has written since the listing began; less than 0 when it has removed. */
  grown_bytes: number;
}

/** Of one tenant that asked for more than it may have. */
interface Relisting {
  readonly done: Promise<void>;
  /** Monotonic. */
  until_ms: number;
}

function bytesOf(sizes: readonly KvSize[]): Map<string, number> {
  const tenants = new Map<string, number>();
  for (const { key: [tenant_id = ""], size_bytes } of sizes) {
    tenants.set(tenant_id, (tenants.get(tenant_id) ?? 0) + size_bytes + ENTRY_BYTES);
  }
  return tenants;
}

/** One per Brain. */
export class TenantBytes {
  readonly #options: TenantBytesOptions;
  readonly #tenants = new Map<string, Usage>();
  readonly #relistings = new Map<string, Relisting>();

  constructor(options: TenantBytesOptions) {
    this.#options = options;
  }

  /** What one tenant may have. */
  get limit_bytes(): number {
    const { room_bytes_per_tenant, bucketBytes } = this.#options;
    return Math.min(room_bytes_per_tenant, Math.floor((bucketBytes() ?? Infinity) * TENANT_PART));
  }

  /** What all tenants have together, and the one that has most. */
  get used(): { readonly total_bytes: number; readonly largest_bytes: number } {
    let [total_bytes, largest_bytes] = [0, 0];
    for (const { listed_bytes, grown_bytes } of this.#tenants.values()) {
      const bytes = Math.max(0, listed_bytes + grown_bytes);
      total_bytes += bytes;
      largest_bytes = Math.max(largest_bytes, bytes);
    }
    return { total_bytes, largest_bytes };
  }

  /** What every tenant has now. Rejects as `list` does, and changes nothing. */
  async recount(): Promise<readonly KvSize[]> {
    const before = new Map(Array.from(this.#tenants, ([id, { grown_bytes }]) => [id, grown_bytes]));
    const sizes = await this.#options.list([]);
    const listed = bytesOf(sizes);
    for (const tenant_id of new Set([...this.#tenants.keys(), ...listed.keys()])) {
      this.#listed(tenant_id, listed.get(tenant_id) ?? 0, before.get(tenant_id) ?? 0);
    }
    return sizes;
  }

  /**
   * Counts so many bytes more as the tenant's, unless it then had too many: false. Less than 0 always
   * counts. Asks the bucket before it says no, but not again and again. Rejects as `list` does.
   */
  async take(tenant_id: string, size_bytes: number): Promise<boolean> {
    if (this.#takeNow(tenant_id, size_bytes)) return true;
    const { monotonic } = this.#options;
    let relisting = this.#relistings.get(tenant_id);
    if (relisting === undefined || relisting.until_ms <= monotonic()) {
      this.#forgetOver();
      relisting = { done: this.#relist(tenant_id), until_ms: Infinity };
      this.#relistings.set(tenant_id, relisting);
    }
    await relisting.done;
    return this.#takeNow(tenant_id, size_bytes);
  }

  /** So many bytes are the tenant's, whatever it may have; less than 0: no longer. */
  add(tenant_id: string, size_bytes: number): void {
    const usage = this.#tenants.get(tenant_id);
    if (usage !== undefined) usage.grown_bytes += size_bytes;
    else if (size_bytes > 0) {
      this.#tenants.set(tenant_id, { listed_bytes: 0, grown_bytes: size_bytes });
    }
  }

  /** What a command of a tenant is refused with that has too much. */
  refusal(): ArqonError {
    return new ArqonError("room-bytes-limit", `${this.limit_bytes} bytes`);
  }

  #takeNow(tenant_id: string, size_bytes: number): boolean {
    if (size_bytes > 0) {
      const { listed_bytes = 0, grown_bytes = 0 } = this.#tenants.get(tenant_id) ?? {};
      const grown = grown_bytes + size_bytes;
      const all = grown > 0 ? grown * Math.max(1, this.#options.brains()) : grown;
      if (listed_bytes + all > this.limit_bytes) return false;
    }
    this.add(tenant_id, size_bytes);
    return true;
  }

  /** What was written while it was listed may be counted twice, until the next listing. */
  #listed(tenant_id: string, listed_bytes: number, before_bytes: number): void {
    const { grown_bytes = 0 } = this.#tenants.get(tenant_id) ?? {};
    const usage = { listed_bytes, grown_bytes: Math.max(0, grown_bytes - before_bytes) };
    if (usage.listed_bytes + usage.grown_bytes > 0) this.#tenants.set(tenant_id, usage);
    else this.#tenants.delete(tenant_id);
  }

  async #relist(tenant_id: string): Promise<void> {
    const { list, monotonic } = this.#options;
    const before = this.#tenants.get(tenant_id)?.grown_bytes ?? 0;
    const started_ms = monotonic();
    try {
      const listed = bytesOf(await list([tenant_id]));
      this.#listed(tenant_id, listed.get(tenant_id) ?? 0, before);
    } finally {
      const now_ms = monotonic();
      const relisting = this.#relistings.get(tenant_id);
      const rest_ms = Math.max(RELIST_MS, RELIST_TIMES * (now_ms - started_ms));
      if (relisting !== undefined) relisting.until_ms = now_ms + rest_ms;
    }
  }

  /** Those that may be listed again. */
  #forgetOver(): void {
    const now_ms = this.#options.monotonic();
    for (const [tenant_id, { until_ms }] of this.#relistings) {
      if (until_ms <= now_ms) this.#relistings.delete(tenant_id);
    }
  }
}
