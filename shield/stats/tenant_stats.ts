/**
 * What each tenant has done at this Shield since it started: plain numbers that the message path adds
 * to, for operators. Limits of tenants are `rates.ts` and `limits.ts`.
 */

/** Running totals of one tenant; `connections` is how many are open. */
export interface TenantTotals {
  connections: number;
  ingress_messages: number;
  ingress_bytes: number;
  egress_messages: number;
  rejects: number;
}

/** Tenants that are told apart; those that come later share one entry. */
export const TENANTS_MAX = 100_000;
/** No tenant id: those beyond `TENANTS_MAX`. */
export const OTHER_TENANTS = "_other";

/** The totals of all tenants of this process. */
export class TenantTable {
  readonly #totals = new Map<string, TenantTotals>();

  /** The counts of a tenant, always the same object, so that whoever counts looks it up once. */
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

  entries(): Iterable<[string, TenantTotals]> {
    return this.#totals.entries();
  }
}
