/**
 * A map whose bound tenants share: of too many entries the oldest goes of a tenant that has more than its share, so that
 * no tenant pushes out another's.
 */

/** A map of at most `size_max` entries, in order: the oldest is the one that was set longest ago. */
export class FairMap<Value extends NonNullable<unknown>> {
  readonly #size_max: number;
  readonly #tenantOf: (value: Value) => string;
  readonly #entries = new Map<string, Value>();
  /** The keys of each tenant, in the same order. */
  readonly #by_tenant = new Map<string, Set<string>>();

  constructor(size_max: number, tenantOf: (value: Value) => string) {
    this.#size_max = size_max;
    this.#tenantOf = tenantOf;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Sets a value, whose entry becomes the newest. Returns what was dropped for it. */
  set(key: string, value: Value): Value | undefined {
    this.delete(key);
    this.#entries.set(key, value);
    const tenant_id = this.#tenantOf(value);
    const own = this.#by_tenant.get(tenant_id) ?? new Set();
    this.#by_tenant.set(tenant_id, own.add(key));
    return this.#entries.size > this.#size_max ? this.#dropOne(own) : undefined;
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

  /** Of the tenant whose entry is new if it has more than its share, else of another that has. */
  #dropOne(own: ReadonlySet<string>): Value | undefined {
    const share = this.#size_max / this.#by_tenant.size;
    // As there are too many, one has.
    const isLarge = (keys: ReadonlySet<string>) => keys.size > share;
    const large = isLarge(own) ? own : this.#by_tenant.values().find(isLarge);
    const [oldest = ""] = large ?? own;
    const dropped = this.#entries.get(oldest);
    this.delete(oldest);
    return dropped;
  }
}
