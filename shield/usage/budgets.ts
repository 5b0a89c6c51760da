/**
 * Budgets of tenants on all Shields together, as one Shield holds them: a message only looks at what is known in
 * memory. How they stand is `shared/usage/budget_standings.ts`, who tells that one is used up `budget_notices.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { TenantBudget } from "../../shared/config/schema_usage.ts";
import type { BudgetState } from "../../shared/usage/budget.ts";
import {
  BudgetStandings,
  type BudgetStandingsOptions,
  type Standing,
} from "../../shared/usage/budget_standings.ts";
import { createBucket, take, type TokenBucket } from "../rates/token_bucket.ts";
import type { Settings } from "../settings/settings.ts";

/** The longest wait that is advised, in ms: what timers of JavaScript take, some 24 days. */
const WAIT_MAX_MS = 2_147_483_647;
const SECOND_MS = 1_000;

/** What budgets need of the process. */
export interface BudgetsOptions extends Omit<BudgetStandingsOptions, "own" | "onRead"> {
  /** What tenants have of their own. */
  readonly settings: Pick<Settings, "get" | "onChange">;
  /** Says that budgets are used up, those that were not yet. Never rejects. */
  readonly tell: (tenant_id: string, exhausted: readonly BudgetState[]) => Promise<void>;
}

/** What a tenant meets that is held back. */
interface Door {
  bucket: TokenBucket | undefined;
  /** The last refusal, which serves for a second, and what it is about. */
  refusal: ArqonError | undefined;
  of: BudgetState | undefined;
}

/** The budgets of one Shield. */
export class Budgets {
  /** Messages and commands that were refused, by the action of the budget. */
  readonly refusals = { slow: 0, refuse: 0 };
  readonly #now: () => number;
  readonly #standings: BudgetStandings;
  readonly #doors = new WeakMap<Standing, Door>();
  readonly #stop: () => void;

  constructor({ settings, tell, ...options }: BudgetsOptions) {
    this.#now = options.now;
    const standings = new BudgetStandings({
      ...options,
      own: (tenant_id) => settings.get(tenant_id).budgets ?? [],
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

  /** Begins to read what is used. */
  start(): void {
    this.#standings.start();
  }

  /** Puts the budgets into force that the configuration has now. */
  renew(): void {
    this.#standings.renew();
  }

  /** The budgets of a tenant that are in force: its own, and those of the configuration without such a one. */
  of(tenant_id: string): TenantBudget[] {
    return this.#standings.of(tenant_id);
  }

  /**
   * Lets one message or command of the tenant through, or throws: `budget-exhausted` (429) until the period
   * ends, or `tenant-quota` (429) while the tenant is slowed. Never waits.
   */
  take(tenant_id: string): void {
    const standing = this.#standings.standing(tenant_id);
    if (standing?.holding === undefined) return;
    const { holding } = standing;
    const door = this.#doors.get(standing) ??
      { bucket: undefined, refusal: undefined, of: undefined };
    this.#doors.set(standing, door);
    const now_ms = this.#now();
    if (holding.budget.action === "slow") return this.#slow(door, holding, now_ms);
    this.refusals.refuse++;
    const left_ms = Math.ceil((holding.end_ms - now_ms) / SECOND_MS) * SECOND_MS;
    const retry_after_ms = Math.min(left_ms, WAIT_MAX_MS);
    // An error with its stack costs more than the message: whoever goes on gets the same one for a second.
    if (door.refusal?.retry_after_ms !== retry_after_ms || door.of !== holding) {
      const until = new Date(holding.end_ms).toISOString();
      door.refusal = new ArqonError("budget-exhausted", `${wordsOf(holding)}, until ${until}`, {
        retry_after_ms,
      });
      door.of = holding;
    }
    throw door.refusal;
  }

  /** The same for what is rare and expensive: how they stand is read before. Rejects as `take` throws. */
  async takeRead(tenant_id: string): Promise<void> {
    // While the ledger cannot be read, what was known holds.
    await this.stand(tenant_id).catch(() => {});
    this.take(tenant_id);
  }

  /** Reads how a tenant's budgets stand. Rejects as the ledger's store rejects. */
  stand(tenant_id: string): Promise<readonly BudgetState[]> {
    return this.#standings.stand(tenant_id);
  }

  /** How the budgets of all tenants stood when they were read last. */
  *known(): Generator<readonly [tenant_id: string, states: readonly BudgetState[]]> {
    for (const [tenant_id, { states }] of this.#standings.known()) yield [tenant_id, states];
  }

  /** Ends the reading; what holds goes on to hold. */
  async close(): Promise<void> {
    this.#stop();
    await this.#standings.close();
  }

  #slow(door: Door, holding: BudgetState, now_ms: number): void {
    const { messages_per_second } = holding.budget;
    if (door.bucket?.per_second !== messages_per_second) {
      door.bucket = createBucket(messages_per_second, now_ms, messages_per_second);
    }
    const retry_after_ms = take(door.bucket, 1, now_ms);
    if (retry_after_ms === 0) return;
    this.refusals.slow++;
    const detail = `${messages_per_second} messages a second, since ${wordsOf(holding)},`;
    throw new ArqonError("tenant-quota", detail, { retry_after_ms });
  }
}

/** What is used up, in words. */
function wordsOf({ budget: { per, unit, limit } }: BudgetState): string {
  return `the tenant's ${limit} ${unit.replaceAll("_", " ")} of this ${per} are used`;
}
