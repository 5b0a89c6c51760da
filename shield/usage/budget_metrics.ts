/** The metrics of budgets: their usage, and refusals. `budgets.ts` counts. */
import { Gauge, type Registry, scraped } from "../../shared/metrics/metrics.ts";
import type { Budgets } from "./budgets.ts";
import type { BudgetNotices } from "./budget_notices.ts";

/** Registers them. Tenants beyond `tenants_max` have no series. */
export function registerBudgets(
  registry: Registry,
  budgets: Budgets,
  { reported }: BudgetNotices,
  tenants_max: number,
): void {
  scraped(registry, {
    "shield_usage_budget_refusals_total": [
      "Messages and commands that a budget slowed, or refused until its period ends.",
      "action",
      () => budgets.refusals,
    ],
    "shield_usage_budget_exhausted_total": [
      "Exhausted budgets of tenants. One Shield reports each once per period.",
      "action",
      () => reported,
    ],
  });
  new Gauge({
    name: "shield_usage_budget_used_ratio",
    help: "Used part of a tenant's budget at the last reading here; 1: all of it.",
    labelNames: ["tenant", "per", "unit", "action"],
    registers: [registry],
    collect() {
      this.reset();
      let left = tenants_max;
      for (const [tenant, states] of budgets.known()) {
        if (states.length > 0 && left-- <= 0) break;
        for (const { budget: { per, unit, action, limit }, used } of states) {
          this.set({ tenant, per, unit, action }, limit === 0 ? 1 : used / limit);
        }
      }
    },
  });
}
