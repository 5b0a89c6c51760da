/**
 * Counts the fuel of rooms with reducers for the ledger of use, in memory: by tenant, class of rooms and reducer, in the
 * minute that runs. Bounded by tenants and rows. Who writes it is `shared/usage/writer.ts`.
 */
import type { TenantRows } from "../../../shared/usage/minute.ts";
import { OTHERS, RowBudget, UserUse } from "../../../shared/records/user_use.ts";

/** The most tenants that are counted at a time; what others use is not, and a metric says so. */
const TENANTS_MAX = 100_000;
/** Beside the names of policies, none of which has a colon. */
const REDUCER = "reducer:";

/** What fuel is counted by. */
interface CountedBy {
  /** Of the class of rooms; absent: beside rooms. */
  readonly pattern?: string | undefined;
  /** The name in `[[reducers]]`; absent: the room has none any longer. */
  readonly reducer?: string | undefined;
}

/** The counts of one Brain. */
export class FuelLedger {
  readonly #rows_max: number;
  readonly #tenants = new Map<string, UserUse>();
  /** How often something was not counted because there are too many tenants. */
  uncounted = 0;

  constructor(rows_max: number) {
    this.#rows_max = rows_max;
  }

  /** Units were used. */
  used(
    tenant_id: string,
    { pattern, reducer = OTHERS }: CountedBy,
    units: number,
  ): void {
    const use = this.#tenants.get(tenant_id) ?? this.#open(tenant_id);
    if (use === undefined) this.uncounted++;
    else use.fuel(pattern, REDUCER + reducer, Math.round(units));
  }

  /** The rows of every tenant that has any. With `is_end` the minute is over: all begin anew. */
  *take(is_end: boolean): Generator<TenantRows> {
    for (const [tenant_id, use] of this.#tenants) {
      // It has no connections: their time is no matter.
      const rows = use.take(0, is_end);
      if (rows.length > 0) yield { tenant_id, rows };
    }
    if (is_end) this.#tenants.clear();
  }

  #open(tenant_id: string): UserUse | undefined {
    if (this.#tenants.size >= TENANTS_MAX) return undefined;
    // A Brain knows no class of users.
    const use = new UserUse("", new RowBudget(this.#rows_max));
    this.#tenants.set(tenant_id, use);
    return use;
  }
}
