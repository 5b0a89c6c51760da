/**
 * Says that a budget is used up: once for all Shields, in the log and the audit log. The Shield that first puts
 * a mark into the bucket does so. What a budget then does is `budgets.ts`.
 */
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Audited } from "../audit/trail.ts";
import type { UsagePlace } from "./place.ts";
import { type BudgetState, nameOf } from "./budget.ts";

/** What is done in the audit log. */
export const BUDGET_EXHAUSTED = "budget.exhausted";

/** Writes into the audit log that something has happened. Never rejects. */
export type Happened = (audited: Audited) => Promise<void>;

/** What telling needs of the process. */
export interface BudgetTellerOptions {
  readonly place: Pick<UsagePlace, "running">;
  readonly node_id: string;
  readonly log: Logger;
}

/** Tells of budgets, for one Shield. */
export class BudgetTeller {
  /** Budgets that this Shield has told of, by their action. */
  readonly told = { warn: 0, slow: 0, refuse: 0 };
  readonly #options: BudgetTellerOptions;
  /** What somebody has told of, by tenant and budget: the beginning of the period. */
  readonly #known = new Map<string, number>();
  #happened: Happened | undefined;

  constructor(options: BudgetTellerOptions) {
    this.#options = options;
  }

  /** Where it also goes from now on. */
  audit(happened: Happened | undefined): void {
    this.#happened = happened;
  }

  /** Tells of those budgets of which nobody has told in their period. Never rejects. */
  async tell(tenant_id: string, exhausted: readonly BudgetState[]): Promise<void> {
    for (const state of exhausted) {
      // Another limit is another budget: whoever changes it hears of it anew.
      const name = `${nameOf(state.budget)} ${state.budget.limit}`;
      const known = `${tenant_id} ${name}`;
      if (this.#known.get(known) === state.begin_ms) continue;
      try {
        const is_first = await this.#mark(tenant_id, name, state);
        this.#known.set(known, state.begin_ms);
        if (is_first) await this.#say(tenant_id, state);
      } catch {
        // The bucket is away: the next reading tries again.
      }
    }
  }

  async #mark(
    tenant_id: string,
    name: string,
    { begin_ms, end_ms }: BudgetState,
  ): Promise<boolean> {
    const bucket = await this.#options.place.running();
    const value = new TextEncoder().encode(JSON.stringify({ until: end_ms }));
    try {
      await bucket.update(["told", tenant_id, name, String(begin_ms)], value, 0);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  async #say(tenant_id: string, { budget, used, end_ms }: BudgetState): Promise<void> {
    const { per, unit, limit, action } = budget;
    this.told[action]++;
    this.#options.log.warn("a tenant's budget is used up", {
      tenant_id,
      per,
      unit,
      limit,
      used,
      action,
      until: new Date(end_ms).toISOString(),
    });
    await this.#happened?.({
      action: BUDGET_EXHAUSTED,
      method: "",
      path: "",
      tenant: tenant_id,
      by: null,
      by_tenant: null,
      operator: false,
      from: this.#options.node_id,
      about: { per, unit, limit, used, then: action },
    });
  }
}
