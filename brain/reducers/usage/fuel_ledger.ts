/**
 * Counts the fuel of rooms with reducers for the usage ledger, in memory: by tenant, class of rooms and reducer, for
 * the current minute. Limited in tenants and rows. `shared/usage/writer.ts` writes it.
 */
import type { TenantRows } from "../../../shared/usage/minute.ts";
import { OTHERS, RowBudget, UserUse } from "../../../shared/records/user_use.ts";

/** The most tenants counted at a time; the fuel of others is not counted, and a metric says so. */
const TENANTS_MAX = 100_000;
/** Policies' names have no colon. */
const REDUCER = "reducer:";

/** The dimensions of the count. */
interface CountedBy {
  /** The class of rooms; absent for work outside of rooms. */
  readonly pattern?: string | undefined;
  /** The name in `[[reducers]]`; absent if the room no longer has a reducer. */
  readonly reducer?: string | undefined;
}

/** Used fuel by tenant, class and reducer, in instruction units. */
export class FuelLedger {
  readonly #rows_max: number;
  readonly #tenants = new Map<string, UserUse>();
  /** How often a count was dropped because there were too many tenants. */
  uncounted = 0;

  constructor(rows_max: number) {
    this.#rows_max = rows_max;
  }

  /** Counts used units. */
  used(tenant_id: string, { pattern, reducer = OTHERS }: CountedBy, units: number): void {
    const use = this.#tenants.get(tenant_id) ?? this.#open(tenant_id);
    if (use === undefined) this.uncounted++;
    else use.fuel(pattern, REDUCER + reducer, Math.round(units));
  }

  /**
   * The rows of every tenant that has any now, each as of when it is asked for. `is_end`: the minute has ended, and counts
   * restart.
   */
  *take(is_end: boolean): Generator<TenantRows> {
    // A tenant that comes back meanwhile is one of the next minute.
    for (const [tenant_id, use] of [...this.#tenants]) {
      if (is_end) this.#tenants.delete(tenant_id);
      // A Brain has no connections, so no connection time.
      const rows = use.take(0, is_end);
      if (rows.length > 0) yield { tenant_id, rows };
    }
  }

  #open(tenant_id: string): UserUse | undefined {
    if (this.#tenants.size >= TENANTS_MAX) return undefined;
    // A Brain knows no class of users.
    const use = new UserUse("", new RowBudget(this.#rows_max));
    this.#tenants.set(tenant_id, use);
    return use;
  }
}
