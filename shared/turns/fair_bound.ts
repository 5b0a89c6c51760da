/**
 * A bound that tenants share: one may hold at most eight times what is left, so that one alone gets eight ninths, and
 * there is room for another (dynamic thresholds with α = 8: Choudhury and Hahne, "Dynamic Queue Length Thresholds for
 * Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking, 1998). A bound below ten may have none left.
 */

const ALPHA = 8;

/** A number of items and their bytes. */
export interface Amount {
  readonly items: number;
  readonly bytes: number;
}

const NONE: Amount = { items: 0, bytes: 0 };

const sum = (amount: Amount, items: number, bytes: number): Amount => ({
  items: amount.items + items,
  bytes: amount.bytes + bytes,
});

/** One bound of a process. */
export class FairBound {
  readonly #most: Amount;
  readonly #held = new Map<string, Amount>();
  #all = NONE;

  /** A part without a bound is absent. */
  constructor({ items = Infinity, bytes = Infinity }: Partial<Amount>) {
    this.#most = { items, bytes };
  }

  /** How many items all tenants hold. */
  get items(): number {
    return this.#all.items;
  }

  /** What a tenant holds. */
  of(tenant_id: string): Amount {
    return this.#held.get(tenant_id) ?? NONE;
  }

  /** Counts an item of a tenant; false: it is above the tenant's share, and not counted. */
  take(tenant_id: string, bytes = 0): boolean {
    const held = sum(this.of(tenant_id), 1, bytes);
    const all = sum(this.#all, 1, bytes);
    const most = this.#most;
    const fits = held.items <= ALPHA * (most.items - all.items) &&
      held.bytes <= ALPHA * (most.bytes - all.bytes);
    if (fits) this.add(tenant_id, 1, bytes);
    return fits;
  }

  /** Ends an item that was counted with these bytes. */
  release(tenant_id: string, bytes = 0): void {
    this.add(tenant_id, -1, -bytes);
  }

  /** Counts items whatever the share; a negative number ends them. */
  add(tenant_id: string, items: number, bytes = 0): void {
    const held = sum(this.of(tenant_id), items, bytes);
    if (held.items === 0) this.#held.delete(tenant_id);
    else this.#held.set(tenant_id, held);
    this.#all = sum(this.#all, items, bytes);
  }
}
