/**
 * A bounded map that tenants share fairly: when it is full, the oldest entry of a tenant above its share is dropped, so
 * that no tenant evicts another's entries.
 */

import { BoundedMap } from "./bounded_map.ts";

/** A map of at most `size_max` entries, in order: the oldest is the one that was set least recently. */
export class FairMap<Value extends NonNullable<unknown>> {
  readonly #size_max: number;
  readonly #tenantOf: (value: Value) => string;
  readonly #entries = new Map<string, Value>();
  /** The keys of each tenant, in the same order. */
  readonly #by_tenant = new Map<string, BoundedMap<string, string>>();

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
    if (value !== undefined) this.#by_tenant.get(this.#tenantOf(value))?.use(key);
    return value;
  }

  /** Sets a value; its entry becomes the newest. Returns the dropped value, if any. */
  set(key: string, value: Value): Value | undefined {
    const tenant_id = this.#tenantOf(value);
    const before = this.#entries.get(key);
    if (before !== undefined && this.#tenantOf(before) !== tenant_id) this.delete(key);
    this.#entries.delete(key);
    this.#entries.set(key, value);
    let own = this.#by_tenant.get(tenant_id);
    if (own === undefined) this.#by_tenant.set(tenant_id, own = new BoundedMap(Infinity));
    own.renew(key, key);
    return this.#entries.size > this.#size_max ? this.drop(tenant_id) : undefined;
  }

  delete(key: string): boolean {
    const value = this.#entries.get(key);
    if (value === undefined) return false;
    this.#entries.delete(key);
    const tenant_id = this.#tenantOf(value);
    const own = this.#by_tenant.get(tenant_id);
    own?.delete(key);
    if (own?.size === 0) this.#by_tenant.delete(tenant_id);
    return true;
  }

  /** The oldest first. */
  entries(): MapIterator<[string, Value]> {
    return this.#entries.entries();
  }

  clear(): void {
    this.#entries.clear();
    this.#by_tenant.clear();
  }

  /**
   * Drops the oldest entry of that tenant, which needs space, if it has its share of the entries; otherwise of another
   * one that has. Returns the dropped value, if any.
   */
  drop(tenant_id: string): Value | undefined {
    const share = this.#entries.size / this.#by_tenant.size;
    const own = this.#by_tenant.get(tenant_id);
    // No tenant has less than the mean, unless another one has more.
    const large = own !== undefined && own.size >= share
      ? own
      : this.#by_tenant.values().find(({ size }) => size >= share);
    const oldest = large?.dropOldest();
    if (large === undefined || oldest === undefined) return undefined;
    const dropped = this.#entries.get(oldest);
    this.#entries.delete(oldest);
    if (large.size === 0 && dropped !== undefined) this.#by_tenant.delete(this.#tenantOf(dropped));
    return dropped;
  }
}
