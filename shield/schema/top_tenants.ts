/**
 * Counts by tenant with a bounded number of names: the tenants that count most have a series of their
 * own, all others share one. Every series only grows while it lives, and their sum is always right.
 */

/** Tenants with a series of their own. */
export const NAMED_TENANTS = 50;
/** Tenants without one whose counts are remembered; when there are more, all of these begin anew. */
const CONTENDERS_MAX = 1_000;

/** A tenant with a name. */
interface Named {
  /** What its series shows: counted since it has one. */
  count: number;
  /** By what it keeps it: all that it was seen to count. */
  weight: number;
}

/** The counts. */
export class TopTenants {
  readonly #named = new Map<string, Named>();
  /** All that those without a name were seen to count. */
  readonly #contenders = new Map<string, number>();
  #other = 0;

  /** One more of that tenant. */
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
    // Its earlier ones stay among the others: no series ever shrinks.
    this.#named.set(tenant_id, { count: 1, weight });
  }
}
