/**
 * The budgets of tenants on all Shields together, enforced by one Shield. A message only reads memory.
 * `shared/usage/budget_standings.ts` has their states, `budget_notices.ts` reports exhausted ones.
 */
import { ArqonError } from "@arqon/proto";
import type { TenantBudget } from "../../shared/config/schema_usage.ts";
import type { BudgetState } from "../../shared/usage/budget.ts";
import {
  BudgetStandings,
  type BudgetStandingsOptions,
  type Standing,
} from "../../shared/usage/budget_standings.ts";
import { createBucket, take, type TokenBucket, withdraw } from "../../shared/rates/token_bucket.ts";
import type { Settings } from "../settings/settings.ts";

/** The longest advised wait, in ms: the longest JavaScript timer, some 24 days. */
const WAIT_MAX_MS = 2_147_483_647;
const SECOND_MS = 1_000;

/** The dependencies and settings of `Budgets`. */
export interface BudgetsOptions extends Omit<BudgetStandingsOptions, "own" | "onRead"> {
  /** Tenants' own settings. */
  readonly settings: Pick<Settings, "get" | "onChange">;
  /** Reports exhausted budgets that were not reported yet. Never rejects. */
  readonly tell: (tenant_id: string, exhausted: readonly BudgetState[]) => Promise<void>;
}

/** The budgets of tenants, enforced by one Shield. */
export class Budgets {
  /** Refused messages and commands, by the action of the budget. */
  readonly refusals = { slow: 0, refuse: 0 };
  readonly #now: () => number;
  readonly #standings: BudgetStandings;
  /** Tenants that were refused since the last reading: they use nothing, but wait for another state. */
  #refused = new Set<string>();
  /** What slowed tenants may still send. */
  readonly #buckets = new WeakMap<Standing, TokenBucket>();
  readonly #stop: () => void;

  constructor({ settings, tell, ...options }: BudgetsOptions) {
    this.#now = options.now;
    const standings = new BudgetStandings({
      ...options,
      own: (tenant_id) => settings.get(tenant_id).budgets ?? [],
      active: () => {
        const refused = this.#refused;
        this.#refused = new Set();
        return refused.union(new Set(options.active()));
      },
      onRead: (tenant_id, states) =>
        tell(tenant_id, states.filter(({ is_exhausted }) => is_exhausted)),
    });
    this.#standings = standings;
    this.#stop = settings.onChange((tenant_id) => {
      if (standings.standing(tenant_id) !== undefined || standings.has(tenant_id)) {
        standings.ask(tenant_id);
      }
    });
  }

  start(): void {
    this.#standings.start();
  }

  /** Applies the budgets of the current configuration. */
  renew(): void {
    this.#standings.renew();
  }

  /** A tenant's budgets in force: its own, and those of the configuration that it does not override. */
  of(tenant_id: string): TenantBudget[] {
    return this.#standings.of(tenant_id);
  }

  /**
   * Admits one message or command of the tenant, or throws: `budget-exhausted` (429) until the period ends, or
   * `tenant-quota` (429) while the tenant is slowed. Never waits. `is_begun`: of an admitted operation, which is not
   * refused halfway; if the tenant is slowed, the next ones wait for it.
   */
  take(tenant_id: string, is_begun = false): void {
    const standing = this.#standings.standing(tenant_id);
    if (standing?.holding === undefined) return;
    const { holding } = standing;
    const now_ms = this.#now();
    if (holding.budget.action === "slow") return this.#slow(standing, holding, now_ms, is_begun);
    if (is_begun) return;
    this.refusals.refuse++;
    this.#refused.add(tenant_id);
    const left_ms = Math.ceil((holding.end_ms - now_ms) / SECOND_MS) * SECOND_MS;
    const until = new Date(holding.end_ms).toISOString();
    // A new one each time: the journal knows by the error whether a refusal is recorded.
    throw new ArqonError("budget-exhausted", `${wordsOf(holding)}, until ${until}`, {
      retry_after_ms: Math.min(left_ms, WAIT_MAX_MS),
    });
  }

  /** The same for rare and expensive operations: reads the usage first. Rejects as `take` throws. */
  async takeRead(tenant_id: string): Promise<void> {
    // While the ledger is unreachable, the last state stays in force.
    await this.stand(tenant_id).catch(() => {});
    this.take(tenant_id);
  }

  /** Reads the states of a tenant's budgets. Rejects with errors of the ledger's store. */
  stand(tenant_id: string): Promise<readonly BudgetState[]> {
    return this.#standings.stand(tenant_id);
  }

  /** The last states of all tenants' budgets. */
  *known(): Generator<readonly [tenant_id: string, states: readonly BudgetState[]]> {
    for (const [tenant_id, { states }] of this.#standings.known()) yield [tenant_id, states];
  }

  /** Stops reading; blocked tenants stay blocked. */
  async close(): Promise<void> {
    this.#stop();
    await this.#standings.close();
  }

  #slow(standing: Standing, holding: BudgetState, now_ms: number, is_begun: boolean): void {
    const { messages_per_second } = holding.budget;
    let bucket = this.#buckets.get(standing);
    if (bucket?.per_second !== messages_per_second) {
      bucket = createBucket(messages_per_second, now_ms, messages_per_second);
      this.#buckets.set(standing, bucket);
    }
    const retry_after_ms = take(bucket, 1, now_ms);
    if (retry_after_ms === 0) return;
    if (is_begun) return withdraw(bucket, 1);
    this.refusals.slow++;
    const detail = `${messages_per_second} messages a second, since ${wordsOf(holding)},`;
    throw new ArqonError("tenant-quota", detail, { retry_after_ms });
  }
}

function wordsOf({ budget: { per, unit, limit } }: BudgetState): string {
  return `the tenant's ${limit} ${unit.replaceAll("_", " ")} of this ${per} are used`;
}
