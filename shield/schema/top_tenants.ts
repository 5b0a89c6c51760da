/**
 * Counts by tenant with a bounded number of names: the tenants that count most have a series of their
 * own, all others share one. Every series only grows while it lives, and their sum is always right.
 */

/** The most tenants with a series of their own. */
export const NAMED_TENANTS = 50;
/**
 * The most tenants without a series whose counts are remembered; when there are more, all of these
 * begin anew.
 */
const CONTENDERS_MAX = 1_000;

/** A tenant with a series of its own. */
interface Named {
  /** The value of its series: what was counted since it has one. */
  count: number;
  /** The weight by which it keeps its series: all that was counted for it. */
  weight: number;
}

/** The counts of all tenants. */
export class TopTenants {
  readonly #named = new Map<string, Named>();
  /** The weights of tenants without a series. */
  readonly #contenders = new Map<string, number>();
  #other = 0;

  /** Counts one more for that tenant. */
  add(tenant_id: string): void {
    const named = this.#named.get(tenant_id);
    if (named !== undefined) {
      named.count++;
      named.weight++;
    } else if (this.#named.size < NAMED_TENANTS) {
      this.#named.set(tenant_id, { count: 1, weight: 1 });
    } else this.#contend(tenant_id);
  }

  /** Every series: a tenant or `other`, and its count. */
  *rows(): Iterable<readonly [tenant: string, count: number]> {
    for (const [tenant_id, { count }] of this.#named) yield [tenant_id, count];
    if (this.#other > 0) yield ["other", this.#other];
  }

  #contend(tenant_id: string): void {
    const weight = (this.#contenders.get(tenant_id) ?? 0) + 1;
    const [least] = [...this.#named].sort(([, a], [, b]) => a.weight - b.weight);
    if (least === undefined || least[1].weight >= weight) {
      this.#other++;
      if (this.#contenders.size >= CONTENDERS_MAX) this.#contenders.clear();
      this.#contenders.set(tenant_id, weight);
      return;
    }
    const [id, { count, weight: lost }] = least;
    this.#named.delete(id);
    this.#other += count;
    this.#contenders.delete(tenant_id);
    this.#contenders.set(id, lost);
    // The counts before that stay in `other`: no series ever shrinks.
    this.#named.set(tenant_id, { count: 1, weight });
  }
}
