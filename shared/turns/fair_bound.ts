/**
 * A bound that tenants share: one may hold at most eight times what is left, so that one alone gets eight ninths, and
 * there is room for another (dynamic thresholds with α = 8: Choudhury and Hahne, "Dynamic Queue Length Thresholds for
 * Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking, 1998). A bound below ten may have none left.
 */

const ALPHA = 8;

/** A number of items and their bytes. */
interface Amount {
  items: number;
  bytes: number;
}

const NONE: Readonly<Amount> = { items: 0, bytes: 0 };

/** One bound of a process. */
export class FairBound {
  readonly #most: Readonly<Amount>;
  readonly #held = new Map<string, Amount>();
  readonly #all: Amount = { items: 0, bytes: 0 };

  /** A part without a bound is absent. */
  constructor({ items = Infinity, bytes = Infinity }: Partial<Amount>) {
    this.#most = { items, bytes };
  }

  /** How many items all tenants hold. */
  get items(): number {
    return this.#all.items;
  }

  /** What a tenant holds. */
  of(tenant_id: string): Readonly<Amount> {
    return this.#held.get(tenant_id) ?? NONE;
  }

  /** Counts an item of a tenant; false: it is above the tenant's share, and not counted. */
  take(tenant_id: string, bytes = 0): boolean {
    const held = this.of(tenant_id);
    const most = this.#most;
    const all = this.#all;
    const fits = held.items + 1 <= ALPHA * (most.items - all.items - 1) &&
      held.bytes + bytes <= ALPHA * (most.bytes - all.bytes - bytes);
    if (fits) this.add(tenant_id, 1, bytes);
    return fits;
  }

  /** Ends an item that was counted with these bytes. */
  release(tenant_id: string, bytes = 0): void {
    this.add(tenant_id, -1, -bytes);
  }

  /** Counts items whatever the share; a negative number ends them. */
  add(tenant_id: string, items: number, bytes = 0): void {
    const held = this.#held.get(tenant_id) ?? { items: 0, bytes: 0 };
    if (held.items === 0) this.#held.set(tenant_id, held);
    for (const one of [held, this.#all]) {
      one.items += items;
      one.bytes += bytes;
    }
    if (held.items === 0) this.#held.delete(tenant_id);
  }
}
