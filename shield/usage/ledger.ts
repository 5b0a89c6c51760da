/**
 * Counts each tenant's usage of this Shield, in memory: the message path gets an object for counting, and the writer
 * takes the rows. Tenants, classes of users and rows are limited. Nothing here waits or throws.
 */
import type { Identity } from "../auth/identity.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import type { PolicyOutcome } from "../../shared/records/verdict.ts";
import type { UsageRow } from "../../shared/records/counts.ts";
import type { TenantRows } from "../../shared/usage/minute.ts";
import { OTHERS, RowBudget, UserUse } from "../../shared/records/user_use.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** The most tenants counted at a time; the usage of others is not counted, and a metric says so. */
const TENANTS_MAX = 100_000;
/** The most classes of users of one tenant; later ones count as one. */
const USER_CLASSES = 64;
/** The most characters of a user's class. */
const CLASS_CHARS = 64;

interface UsageLedgerOptions {
  /** The claim with the class of a user; undefined: all users are one class. */
  readonly user_claim: string | undefined;
  /** The most rows of one tenant in a minute. */
  readonly rows_max: number;
  /** For connection time, which setting the clock must not change. */
  readonly monotonic_ms: () => number;
}

/** The parts of an identity by which usage is counted. */
type Counted = Pick<Identity, "tenant_id" | "claims">;

interface TenantUse {
  readonly users: Map<string, UserUse>;
  readonly rows: RowBudget;
}

/** The counts of one Shield. */
export class UsageLedger {
  readonly #options: UsageLedgerOptions;
  readonly #tenants = new Map<string, TenantUse>();
  /** Counts tenants beyond the limit. */
  readonly #uncounted = new UserUse("", new RowBudget(0));
  /** Called with the rows of each finished minute. */
  readonly #onOver: (rows: TenantRows) => void;
  /** How often a user was not counted because there are too many tenants. */
  uncounted = 0;

  constructor(options: UsageLedgerOptions, onOver: (rows: TenantRows) => void = () => {}) {
    this.#options = options;
    this.#onOver = onOver;
  }

  /** Tenants with counts. */
  get tenants(): number {
    return this.#tenants.size;
  }

  /** The tenants with counts. */
  tenantIds(): Iterable<string> {
    return this.#tenants.keys();
  }

  of(identity: Counted): UserUse {
    step(AT.usage);
    const { tenant_id } = identity;
    const tenant = this.#tenants.get(tenant_id) ?? this.#open(tenant_id);
    if (tenant === undefined) return this.#uncounted;
    const user_class = this.#classOf(identity);
    return tenant.users.get(user_class) ?? this.#openClass(tenant, user_class);
  }

  /** The counts of a deleted tenant restart; its connections are counted until they close. */
  forget(tenant_id: string): void {
    const tenant = this.#tenants.get(tenant_id);
    tenant?.rows.renew();
    for (const use of tenant?.users.values() ?? []) use.take(this.#now_ms, true);
  }

  /** A message was accepted, and `stored_bytes` were stored in its log. `pattern` is that of its room's class. */
  taken(identity: Counted, pattern: string, size_bytes: number, stored_bytes = 0): void {
    const counts = this.of(identity).room(pattern);
    counts.messages_in++;
    counts.bytes_in += size_bytes;
    counts.log_bytes += stored_bytes;
  }

  /** A command was answered. */
  commanded(identity: Counted, pattern: string, size_bytes: number): void {
    this.taken(identity, pattern, size_bytes);
    this.of(identity).room(pattern).commands++;
  }

  /** Pages of a room's stored messages were read, or bytes of an answer built from them were sent. */
  read(identity: Counted, pattern: string, pages: number, size_bytes: number): void {
    const counts = this.of(identity).room(pattern);
    counts.reads += pages;
    counts.read_bytes += size_bytes;
  }

  /** A message was checked against a schema in that many steps; 0 without a schema. */
  checked(identity: Counted, pattern: string, steps: number): void {
    if (steps > 0) this.of(identity).room(pattern).schema_steps += steps;
  }

  /** Policies have judged an operation; without `pattern`, outside of rooms. */
  judged(identity: Counted, pattern: string | undefined, outcomes: readonly PolicyOutcome[]): void {
    const use = this.of(identity);
    for (const { name, fuel } of outcomes) {
      use.fuel(pattern, name, Math.round(fuel * UNITS_PER_FUEL));
    }
  }

  /** A connection of these users was opened, or closed (`by` −1). */
  connected(use: UserUse, by: 1 | -1): void {
    use.connections(by, this.#now_ms);
  }

  /**
   * The rows of every tenant that has any now. Each is read when the caller asks for it. `is_end`: the minute has
   * ended, and counts restart.
   */
  *take(is_end: boolean): Generator<TenantRows> {
    // A tenant that counts again meanwhile belongs to the next minute.
    for (const [tenant_id, { users, rows: budget }] of [...this.#tenants]) {
      const rows: UsageRow[] = [];
      const now_ms = this.#now_ms;
      if (is_end) budget.renew();
      for (const [name, use] of users) {
        rows.push(...use.take(now_ms, is_end));
        if (is_end && use.open === 0) users.delete(name);
      }
      if (is_end && users.size === 0) this.#tenants.delete(tenant_id);
      if (rows.length === 0) continue;
      if (is_end) this.#onOver({ tenant_id, rows });
      yield { tenant_id, rows };
    }
  }

  /** Integers, like the counts. */
  get #now_ms(): number {
    return Math.floor(this.#options.monotonic_ms());
  }

  #classOf({ claims }: Pick<Identity, "claims">): string {
    const { user_claim } = this.#options;
    const value = user_claim === undefined ? undefined : claims[user_claim];
    return typeof value === "string" ? value.slice(0, CLASS_CHARS) : "";
  }

  #open(tenant_id: string): TenantUse | undefined {
    if (this.#tenants.size >= TENANTS_MAX) {
      this.uncounted++;
      return undefined;
    }
    const tenant = { users: new Map(), rows: new RowBudget(this.#options.rows_max) };
    this.#tenants.set(tenant_id, tenant);
    return tenant;
  }

  #openClass({ users, rows }: TenantUse, name: string): UserUse {
    const kept = users.size < USER_CLASSES ? name : OTHERS;
    const use = users.get(kept) ?? new UserUse(kept, rows);
    users.set(kept, use);
    return use;
  }
}
