/**
 * The values of keyed state at this Shield: kept in memory for their time, bounded by tenant and in all.
 * When there is no room, the value that was written longest ago goes, out of the same tenant or out of
 * the one that has most. Plain data; time is an argument. Who may read and write when is `key_holds.ts`.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";

/** The bounds of what is kept. Bytes are those of keys and values, and `ENTRY_BYTES` for each entry. */
export interface StateLimits {
  readonly tenant_entries: number;
  readonly tenant_bytes: number;
  readonly entries: number;
  readonly bytes: number;
}

/** One value's place. */
export interface StateRef {
  readonly tenant_id: string;
  /**
   * The tenant, the policy, its mode, its module, the slot and the filled key: nothing else has the same.
   */
  readonly place: string;
  /** How long a value is kept after it was written, in ms. */
  readonly ttl_ms: number;
}

interface Entry {
  readonly value: Uint8Array;
  /** Monotonic ms. */
  readonly expires_ms: number;
}

/** The values of one tenant, the one that was written longest ago first. */
interface TenantValues {
  readonly entries: BoundedMap<string, Entry>;
  bytes: number;
}

/** What an entry takes besides the bytes of its key and value. */
export const ENTRY_BYTES = 128;
/** How many entries one sweep looks at. */
const SWEEP_ENTRIES = 4_096;

const sizeOf = (place: string, { value }: Entry): number =>
  ENTRY_BYTES + place.length + value.length;

/** The values of all tenants. */
export class StateStore {
  readonly #limits: StateLimits;
  readonly #tenants = new Map<string, TenantValues>();
  /** Where the sweep goes on, and its time. */
  #sweeping: Iterator<void> | undefined;
  #swept_ms = 0;
  /** Entries and bytes of all tenants. */
  entries = 0;
  bytes = 0;
  /** How many values went before their time because there was no room. */
  dropped = 0;

  constructor(limits: StateLimits) {
    this.#limits = limits;
  }

  /** The value; undefined when there is none, or its time is over. */
  get({ tenant_id, place }: StateRef, now_ms: number): Uint8Array | undefined {
    const tenant = this.#tenants.get(tenant_id);
    const entry = tenant?.entries.get(place);
    if (tenant === undefined || entry === undefined) return undefined;
    if (entry.expires_ms > now_ms) return entry.value;
    this.#remove(tenant_id, tenant, place, entry);
    return undefined;
  }

  /** Sets a value, which is kept from now on for its time; null deletes it. */
  set(ref: StateRef, value: Uint8Array | null, now_ms: number): void {
    const { tenant_id, place } = ref;
    let tenant = this.#tenants.get(tenant_id);
    const before = tenant?.entries.get(place);
    if (tenant !== undefined && before !== undefined) {
      this.#remove(tenant_id, tenant, place, before);
    }
    if (value === null) return;
    // The tenant may just have lost its only value, and its place.
    tenant = this.#tenants.get(tenant_id);
    if (tenant === undefined) {
      tenant = { entries: new BoundedMap(Infinity), bytes: 0 };
      this.#tenants.set(tenant_id, tenant);
    }
    const entry = { value, expires_ms: now_ms + ref.ttl_ms };
    tenant.entries.renew(place, entry);
    this.#count(tenant, 1, sizeOf(place, entry));
    this.#makeRoom(tenant_id, tenant, now_ms);
  }

  /** Lets go of values whose time is over; each call looks at some and goes on where the last ended. */
  sweep(now_ms: number): void {
    this.#swept_ms = now_ms;
    this.#sweeping ??= this.#sweepAll();
    for (let left = SWEEP_ENTRIES; left > 0; left--) {
      if (this.#sweeping.next().done !== true) continue;
      this.#sweeping = undefined;
      return;
    }
  }

  *#sweepAll(): Generator<void> {
    for (const [tenant_id, tenant] of this.#tenants) {
      for (const [place, entry] of tenant.entries) {
        if (entry.expires_ms <= this.#swept_ms) this.#remove(tenant_id, tenant, place, entry);
        yield;
      }
    }
  }

  /** Drops what was written longest ago until the bounds hold. */
  #makeRoom(writer_id: string, writer: TenantValues, now_ms: number): void {
    const { tenant_entries, tenant_bytes, entries, bytes } = this.#limits;
    while (writer.entries.size > tenant_entries || writer.bytes > tenant_bytes) {
      this.#dropOldest(writer_id, writer, now_ms);
    }
    while (this.entries > entries || this.bytes > bytes) {
      const [tenant_id, tenant] = this.#largest();
      this.#dropOldest(tenant_id, tenant, now_ms);
    }
  }

  #dropOldest(tenant_id: string, tenant: TenantValues, now_ms: number): void {
    for (const [place, entry] of tenant.entries) {
      if (entry.expires_ms > now_ms) this.dropped++;
      return this.#remove(tenant_id, tenant, place, entry);
    }
  }

  /** The tenant that has most of what the store holds. There is one, since something is too much. */
  #largest(): [tenant_id: string, tenant: TenantValues] {
    const share = ({ entries, bytes }: TenantValues) =>
      Math.max(entries.size / this.#limits.entries, bytes / this.#limits.bytes);
    return [...this.#tenants].reduce((most, one) => share(one[1]) > share(most[1]) ? one : most);
  }

  #count(tenant: TenantValues, entries: number, bytes: number): void {
    tenant.bytes += bytes;
    this.entries += entries;
    this.bytes += bytes;
  }

  #remove(tenant_id: string, tenant: TenantValues, place: string, entry: Entry): void {
    tenant.entries.delete(place);
    this.#count(tenant, -1, -sizeOf(place, entry));
    if (tenant.entries.size === 0) this.#tenants.delete(tenant_id);
  }
}
