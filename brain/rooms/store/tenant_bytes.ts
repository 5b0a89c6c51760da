/**
 * The byte quota of each tenant's rooms, so that one tenant cannot fill the bucket: the last listing, plus this Brain's
 * writes since. The other Brains are assumed to write as much as this one, until the next listing. `apply.ts` decides
 * which commands a full tenant may still send.
 */
import { ArqonError } from "@arqon/proto";
import { ENTRY_BYTES } from "../../../shared/spine/bucket_shares.ts";
import type { KvKey, KvSize } from "../../../shared/spine/contract/spine.ts";

/** The largest part of a bounded bucket for one tenant: others write, too, and Brains may count too little. */
const TENANT_PART = 1 / 4;
/** Shortest interval between listings of a tenant; also at least ten times the duration of its last listing. */
const RELIST_MS = 1_000;
const RELIST_TIMES = 10;

/** The dependencies of the quota. */
export interface TenantBytesOptions {
  /** `[brain] room_bytes_per_tenant`. */
  readonly room_bytes_per_tenant: number;
  /** The bucket's bound in bytes; undefined: none. */
  readonly bucketBytes: () => number | undefined;
  readonly list: (prefix: KvKey) => Promise<readonly KvSize[]>;
  readonly brains: () => number;
  /** Monotonic milliseconds. */
  readonly monotonic: () => number;
}

interface Usage {
  listed_bytes: number;
  /** Bytes that this Brain has written since the listing began; negative if it removed more. */
  grown_bytes: number;
}

/** The listing of one tenant that exceeded its quota. */
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

  /** The quota of one tenant. */
  get limit_bytes(): number {
    const { room_bytes_per_tenant, bucketBytes } = this.#options;
    return Math.min(room_bytes_per_tenant, Math.floor((bucketBytes() ?? Infinity) * TENANT_PART));
  }

  /** The bytes of all tenants together, and of the largest one. */
  get used(): { readonly total_bytes: number; readonly largest_bytes: number } {
    let total_bytes = 0;
    let largest_bytes = 0;
    for (const { listed_bytes, grown_bytes } of this.#tenants.values()) {
      const bytes = Math.max(0, listed_bytes + grown_bytes);
      total_bytes += bytes;
      largest_bytes = Math.max(largest_bytes, bytes);
    }
    return { total_bytes, largest_bytes };
  }

  /** Lists the bytes of every tenant. Rejects as `list` does, and changes nothing then. */
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
   * Adds bytes to the tenant's count; false if that would exceed the quota. Negative values are always accepted. It
   * lists the bucket before a refusal, but at most once in an interval. Rejects as `list` does.
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

  /** Adds bytes to the tenant's count regardless of the quota; negative: subtracts. */
  add(tenant_id: string, size_bytes: number): void {
    const usage = this.#tenants.get(tenant_id);
    if (usage !== undefined) usage.grown_bytes += size_bytes;
    else if (size_bytes > 0) {
      this.#tenants.set(tenant_id, { listed_bytes: 0, grown_bytes: size_bytes });
    }
  }

  /** The error for a command of a tenant over its quota. */
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

  /** Writes during the listing may be counted twice, until the next listing. */
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

  /** Forgets expired waits: these tenants may be listed again. */
  #forgetOver(): void {
    const now_ms = this.#options.monotonic();
    for (const [tenant_id, { until_ms }] of this.#relistings) {
      if (until_ms <= now_ms) this.#relistings.delete(tenant_id);
    }
  }
}
