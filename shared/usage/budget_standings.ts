/**
 * The states of tenants' budgets in one process: usage of all processes is read in the background, and callers look in
 * memory. `budget.ts` has the arithmetic. Callers decide what an exhausted budget does: `shield/usage/budgets.ts`,
 * `brain/reducers/usage/fuel_usage.ts`.
 */
import type { Env } from "../env.ts";
import type { Config } from "../config/schema.ts";
import type { TenantBudget } from "../config/schema_usage.ts";
import { type BudgetState, inForce, statesOf, strictest } from "./budget.ts";
import type { TenantUsed } from "./budget_used.ts";
import { isIncompatible } from "../records/stored.ts";
import type { PriceBook } from "./price_book.ts";

/** Tenants read at a time. */
const UNDER_WAY = 8;
/** Remembered tenants without usage here. */
const IDLE_MAX = 10_000;

/** The dependencies and settings of `BudgetStandings`. */
export interface BudgetStandingsOptions extends Pick<Env, "log" | "now"> {
  readonly config: Pick<Config["usage"], "budgets" | "flush_ms">;
  readonly prices: { known(): Promise<PriceBook> };
  /** The tenant's own budgets. */
  readonly own: (tenant_id: string) => readonly TenantBudget[];
  /** Tenants that use this process now. */
  readonly active: () => Iterable<string>;
  /** Reads the usage of the tenant. */
  readonly usedOf: (tenant_id: string) => Pick<TenantUsed, "read">;
  /** A tenant's budgets were read. Never rejects. */
  readonly onRead: (tenant_id: string, states: readonly BudgetState[]) => Promise<void> | void;
}

/** One tenant in this process. */
export interface Standing {
  /** The states of its budgets at the last reading. */
  readonly states: readonly BudgetState[];
  /** The budget that slows or refuses it; undefined: none. */
  readonly holding: BudgetState | undefined;
  /** Whether it was read, or could not be. */
  readonly is_known: boolean;
}

interface Held extends Standing {
  readonly used: Pick<TenantUsed, "read">;
  states: readonly BudgetState[];
  holding: BudgetState | undefined;
  is_known: boolean;
  /** Its readings run one after the other; the caller gets a failure. */
  reading: Promise<void>;
}

/** The standings of one process. */
export class BudgetStandings {
  readonly #options: BudgetStandingsOptions;
  /** Budgets of the configuration: for each tenant, and by tenant. */
  #general: readonly TenantBudget[] = [];
  readonly #named = new Map<string, TenantBudget[]>();
  readonly #tenants = new Map<string, Held>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #pass: Promise<void> | undefined;
  #failed = false;
  #closed = false;

  constructor(options: BudgetStandingsOptions) {
    this.#options = options;
    this.#sort();
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#options.config.flush_ms);
    Deno.unrefTimer(this.#timer);
  }

  /** Applies the budgets of the current configuration. */
  renew(): void {
    this.#sort();
    // Also tenants without budgets, which may still be blocked.
    for (const tenant_id of this.#tenants.keys()) this.ask(tenant_id);
    this.tick();
  }

  /** A tenant's budgets in force: its own, and those of the configuration that it does not override. */
  of(tenant_id: string): TenantBudget[] {
    return inForce(this.#general, this.#named.get(tenant_id) ?? [], this.#options.own(tenant_id));
  }

  /** Whether the tenant has budgets; called for each of very many tenants. */
  has(tenant_id: string): boolean {
    return this.#general.length > 0 || this.#named.has(tenant_id) ||
      this.#options.own(tenant_id).length > 0;
  }

  /** The tenant, the same object as long as it is remembered; undefined: unknown. Reads nothing. */
  standing(tenant_id: string): Standing | undefined {
    const held = this.#tenants.get(tenant_id);
    if (held?.holding === undefined) return held;
    const now_ms = this.#options.now();
    if (now_ms >= held.holding.end_ms) held.holding = strictest(held.states, now_ms);
    return held;
  }

  /** Starts to read a tenant's budgets. */
  ask(tenant_id: string): void {
    // The next pass reports and retries a failure.
    this.#read(tenant_id).catch(() => {});
  }

  /** Reads the states of a tenant's budgets. Rejects with errors of the ledger's store. */
  async stand(tenant_id: string): Promise<readonly BudgetState[]> {
    // A tenant whose last budget was removed may still be blocked by it.
    const is_known = this.has(tenant_id) || this.#tenants.has(tenant_id);
    return is_known ? await this.#read(tenant_id) : [];
  }

  /** All known tenants. */
  known(): Iterable<readonly [tenant_id: string, standing: Standing]> {
    return this.#tenants;
  }

  /** Reads the usage of active tenants, unless the last pass still runs. */
  tick(): void {
    this.#pass ??= this.#readAll().finally(() => this.#pass = undefined);
  }

  /** Stops reading; blocked tenants stay blocked. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#pass;
  }

  #sort(): void {
    const general: TenantBudget[] = [];
    this.#named.clear();
    for (const { tenant, ...budget } of this.#options.config.budgets) {
      if (tenant === undefined) general.push(budget);
      else this.#named.set(tenant, [...this.#named.get(tenant) ?? [], budget]);
    }
    this.#general = general;
  }

  async #readAll(): Promise<void> {
    const due: string[] = [];
    for (const tenant_id of this.#options.active()) if (this.has(tenant_id)) due.push(tenant_id);
    if (this.#tenants.size > IDLE_MAX) this.#forget(new Set(due));
    let newer: unknown;
    try {
      for (let at = 0; at < due.length && !this.#closed; at += UNDER_WAY) {
        await Promise.all(
          due.slice(at, at + UNDER_WAY).map((tenant_id) =>
            this.#read(tenant_id).catch((error) => {
              // Use that a newer process has stored is no reason not to read other tenants'.
              if (!isIncompatible(error)) throw error;
              newer = error;
            })
          ),
        );
      }
      if (newer !== undefined) throw newer;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) {
        this.#options.log.warn("budgets could not be read; the last known ones apply", { error });
      }
      this.#failed = true;
    }
  }

  #forget(active: ReadonlySet<string>): void {
    for (const tenant_id of this.#tenants.keys()) {
      if (this.#tenants.size <= IDLE_MAX) return;
      if (!active.has(tenant_id)) this.#tenants.delete(tenant_id);
    }
  }

  /** Reads and evaluates, after any running reading. */
  #read(tenant_id: string): Promise<readonly BudgetState[]> {
    const held = this.#heldOf(tenant_id);
    const { prices, now, onRead } = this.#options;
    const reading = held.reading.then(async () => {
      const [used, book] = await Promise.all([held.used.read(now()), prices.known()]);
      held.states = statesOf(this.of(tenant_id), used, book, now(), held.states);
      held.holding = strictest(held.states, now());
      held.is_known = true;
      await onRead(tenant_id, held.states);
      return held.states;
    });
    const over = () => void (held.is_known = true);
    held.reading = reading.then(over, over);
    return reading;
  }

  #heldOf(tenant_id: string): Held {
    return this.#tenants.getOrInsertComputed(tenant_id, () => ({
      used: this.#options.usedOf(tenant_id),
      states: [],
      holding: undefined,
      is_known: false,
      reading: Promise.resolve(),
    }));
  }
}
