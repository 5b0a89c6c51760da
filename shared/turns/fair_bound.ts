/**
 * A bound that tenants share: one may hold at most `parts` times what is left, so there is room for another (dynamic
 * thresholds: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", IEEE/ACM
 * Transactions on Networking, 1998). One alone gets all but one of `parts + 1` parts. The last unit is for a tenant
 * that holds none.
 */
const PARTS = 8;

/** Whether one that holds `held` may hold `size` more, of `most` of which all together hold `total`. */
export function isWithinShare(
  most: number,
  total: number,
  held: number,
  size = 1,
  parts = PARTS,
): boolean {
  const free = most - total - size;
  return free >= 0 && held + size <= Math.max(1, parts * free);
}

/** What tenants hold of a bound. */
export class FairBound {
  readonly #most: number;
  readonly #parts: number;
  readonly #held = new Map<string, number>();
  #total = 0;

  /** `most` of any unit, such as items or bytes. */
  constructor(most: number, parts = PARTS) {
    this.#most = most;
    this.#parts = parts;
  }

  /** What all tenants hold. */
  get total(): number {
    return this.#total;
  }

  /** What a tenant holds. */
  of(tenant_id: string): number {
    return this.#held.get(tenant_id) ?? 0;
  }

  /** Whether a tenant may hold that much more; `most`: as the bound is now, if it is not known from the start. */
  hasRoom(tenant_id: string, size = 1, most = this.#most): boolean {
    return isWithinShare(most, this.#total, this.of(tenant_id), size, this.#parts);
  }

  /** Adds to what a tenant holds, if it has room. */
  take(tenant_id: string, size = 1): boolean {
    const has_room = this.hasRoom(tenant_id, size);
    if (has_room) this.add(tenant_id, size);
    return has_room;
  }

  /** Adds to what a tenant holds, whatever its share, or subtracts. */
  add(tenant_id: string, size: number): void {
    this.#total += size;
    const held = this.of(tenant_id) + size;
    if (held > 0) this.#held.set(tenant_id, held);
    else this.#held.delete(tenant_id);
  }
}

/**
 * The most that each may have of what they need, so that all of them have at most `most`: those that need less leave
 * the rest to the others. Infinity: it is enough for all. The order does not matter.
 */
export function fairLevel(most: number, needs: Iterable<number>): number {
  const sorted = [...needs].sort((a, b) => a - b);
  let left = most;
  for (const [at, need] of sorted.entries()) {
    const level = left / (sorted.length - at);
    if (need > level) return Math.floor(level);
    left -= need;
  }
  return Infinity;
}
