/**
 * The values of keyed state on this Shield: kept in memory for their time, and limited per tenant and in total. Without
 * room, the value with the oldest write is dropped, of the same tenant or of the largest one. Plain data; time is an
 * argument. `key_holds.ts` decides when a value may be read and written.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { copied } from "./held_values.ts";

/** The limits of the store. Bytes are those of keys and values, plus `ENTRY_BYTES` for each entry. */
export interface StateLimits {
  readonly tenant_entries: number;
  readonly tenant_bytes: number;
  readonly entries: number;
  readonly bytes: number;
}

/** The place of one value. */
export interface StateRef {
  readonly tenant_id: string;
  /** The tenant, the policy, its mode, its module, the slot and the filled key, which identify the value. */
  readonly place: string;
  /** How long a value is kept after its write, in ms. */
  readonly ttl_ms: number;
}

interface Entry {
  readonly value: Uint8Array;
  /** Monotonic ms. */
  readonly expires_ms: number;
}

/** The values of one tenant, the oldest write first. */
interface TenantValues {
  readonly entries: BoundedMap<string, Entry>;
  bytes: number;
}

/** The bytes of an entry without its key and value. */
export const ENTRY_BYTES = 128;
const SWEEP_ENTRIES = 4_096;

const sizeOf = (place: string, { value }: Entry): number =>
  ENTRY_BYTES + place.length + value.length;

/** The values of all tenants. */
export class StateStore {
  readonly #limits: StateLimits;
  readonly #tenants = new Map<string, TenantValues>();
  /** Where the sweep continues, and its time. */
  #sweeping: Iterator<void> | undefined;
  #swept_ms = 0;
  /** Entries and bytes of all tenants. */
  entries = 0;
  bytes = 0;
  /** The number of values that were dropped early because there was no room. */
  dropped = 0;

  constructor(limits: StateLimits) {
    this.#limits = limits;
  }

  /** The value until it is set again; undefined if there is none, or it has expired. */
  get({ tenant_id, place }: StateRef, now_ms: number): Uint8Array | undefined {
    const tenant = this.#tenants.get(tenant_id);
    const entry = tenant?.entries.get(place);
    if (tenant === undefined || entry === undefined) return undefined;
    if (entry.expires_ms > now_ms) return entry.value;
    this.#remove(tenant_id, tenant, place, entry);
    return undefined;
  }

  /** Sets a value to a copy of these bytes, and restarts its time; null deletes it. */
  set(ref: StateRef, value: Uint8Array | null, now_ms: number): void {
    const { tenant_id, place } = ref;
    let tenant = this.#tenants.get(tenant_id);
    const before = tenant?.entries.get(place);
    if (tenant !== undefined && before !== undefined) {
      this.#remove(tenant_id, tenant, place, before);
    }
    if (value === null) return;
    // The tenant may just have lost its only value, and its entry.
    tenant = this.#tenants.get(tenant_id);
    if (tenant === undefined) {
      tenant = { entries: new BoundedMap(Infinity), bytes: 0 };
      this.#tenants.set(tenant_id, tenant);
    }
    const entry = { value: copied(value, before?.value), expires_ms: now_ms + ref.ttl_ms };
    tenant.entries.renew(place, entry);
    this.#count(tenant, 1, sizeOf(place, entry));
    this.#makeRoom(tenant_id, tenant, now_ms);
  }

  /** Removes expired values; each call checks some and continues where the last one ended. */
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

  /** Drops the oldest writes until the limits hold. */
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

  /** The largest tenant of the store. There is one, since a limit is exceeded. */
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
