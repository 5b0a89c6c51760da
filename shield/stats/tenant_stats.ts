/**
 * Each tenant's counts at this Shield since it started: plain numbers that the message path adds to, for operators.
 * `rates.ts` and `limits.ts` limit tenants.
 */

/** Running totals of one tenant; `connections` is how many are open. */
export interface TenantTotals {
  connections: number;
  ingress_messages: number;
  ingress_bytes: number;
  egress_messages: number;
  rejects: number;
}

/** The most tenants with totals of their own; those that come later share one entry. */
export const TENANTS_MAX = 100_000;
/** The name for tenants beyond `TENANTS_MAX`, which is not a tenant id. */
export const OTHER_TENANTS = "_other";

/** The totals of all tenants of this process. */
export class TenantTable {
  readonly #totals = new Map<string, TenantTotals>();

  /** The counts of a tenant. It is always the same object, so that a caller looks it up only once. */
  of(tenant_id: string): TenantTotals {
    const known = this.#totals.get(tenant_id);
    if (known !== undefined) return known;
    if (tenant_id !== OTHER_TENANTS && this.#totals.size >= TENANTS_MAX) {
      return this.of(OTHER_TENANTS);
    }
    const totals = {
      connections: 0,
      ingress_messages: 0,
      ingress_bytes: 0,
      egress_messages: 0,
      rejects: 0,
    };
    this.#totals.set(tenant_id, totals);
    return totals;
  }

  /** Whether the tenant has totals of its own. */
  has(tenant_id: string): boolean {
    return this.#totals.has(tenant_id);
  }

  entries(): Iterable<[string, TenantTotals]> {
    return this.#totals.entries();
  }
}
