/**
 * A bounded map that tenants share fairly: when it is full, the oldest entry of a tenant above its share is dropped, so
 * that no tenant evicts another's entries.
 */
import { BoundedMap } from "../containers/bounded_map.ts";
import { type HeapEntry, TurnHeap } from "./turn_heap.ts";

/**
 * What one tenant has. Tenants with most entries rank first, and of those the one that has used its own longest ago.
 */
interface Own extends HeapEntry {
  readonly tenant_id: string;
  /** The keys, in the order of the entries. */
  readonly keys: BoundedMap<string, string>;
}

/** A map of at most `size_max` entries, in order: the oldest is the one that was set least recently. */
export class FairMap<Value extends NonNullable<unknown>> {
  readonly #size_max: number;
  readonly #tenantOf: (value: Value) => string;
  readonly #entries = new Map<string, Value>();
  readonly #tenants = new Map<string, Own>();
  #ranks = new TurnHeap<Own>();
  #uses = 0;

  constructor(size_max: number, tenantOf: (value: Value) => string) {
    this.#size_max = size_max;
    this.#tenantOf = tenantOf;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key);
  }

  /** The value; its entry becomes the newest of its tenant. */
  use(key: string): Value | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.#renew(this.#tenantOf(value), key);
    return value;
  }

  /** Sets a value; its entry becomes the newest. Returns the dropped value, if any. */
  set(key: string, value: Value): Value | undefined {
    const tenant_id = this.#tenantOf(value);
    const before = this.#entries.get(key);
    if (before !== undefined && this.#tenantOf(before) !== tenant_id) this.delete(key);
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#renew(tenant_id, key);
    return this.#entries.size > this.#size_max ? this.drop(tenant_id) : undefined;
  }

  delete(key: string): boolean {
    const value = this.#entries.get(key);
    if (value === undefined) return false;
    this.#entries.delete(key);
    const own = this.#tenants.get(this.#tenantOf(value));
    own?.keys.delete(key);
    if (own !== undefined) this.#rank(own);
    return true;
  }

  /** The oldest first. */
  entries(): MapIterator<[string, Value]> {
    return this.#entries.entries();
  }

  clear(): void {
    this.#entries.clear();
    this.#tenants.clear();
    this.#ranks = new TurnHeap();
  }

  /**
   * Drops the oldest entry of that tenant, which needs space, if it has its share of the entries and more than the one
   * that it needs; otherwise of the tenant with most. Returns the dropped value, if any.
   */
  drop(tenant_id: string): Value | undefined {
    const share = this.#entries.size / this.#tenants.size;
    const own = this.#tenants.get(tenant_id);
    const has_share = own !== undefined && own.keys.size > 1 && own.keys.size >= share;
    const large = has_share ? own : this.#ranks.first;
    const oldest = large?.keys.dropOldest();
    if (large === undefined || oldest === undefined) return undefined;
    const dropped = this.#entries.get(oldest);
    this.#entries.delete(oldest);
    this.#rank(large);
    return dropped;
  }

  /** Makes a key the newest of its tenant. */
  #renew(tenant_id: string, key: string): void {
    let own = this.#tenants.get(tenant_id);
    if (own === undefined) {
      own = { tenant_id, keys: new BoundedMap(Infinity), rank: 0, arrival: 0, place: -1 };
      this.#tenants.set(tenant_id, own);
      this.#ranks.add(own);
    }
    own.keys.renew(key, key);
    own.arrival = ++this.#uses;
    this.#rank(own);
  }

  /** Ranks a tenant again, or forgets one without entries. */
  #rank(own: Own): void {
    own.rank = -own.keys.size;
    if (own.keys.size > 0) return this.#ranks.moved(own);
    this.#ranks.remove(own);
    this.#tenants.delete(own.tenant_id);
  }
}
