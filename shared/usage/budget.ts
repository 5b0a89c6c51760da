/**
 * Budgets of a tenant as arithmetic: which of them hold, for how long, and what is left of each. Pure: what has
 * been used, the prices and the time are arguments. Who asks them is `budget_standings.ts`.
 */
import type { TenantBudget } from "../config/schema_usage.ts";
import { costOn, type PriceBook } from "./price_book.ts";
import { addCounts, type Counts, noCounts } from "../records/counts.ts";
import { amountsOf } from "./units.ts";

/** A day or a month by UTC, Unix ms: from `begin_ms` to before `end_ms`. */
export interface Period {
  readonly begin_ms: number;
  readonly end_ms: number;
}

/** The period of a budget that this time, in Unix ms, is in. */
export function periodAt(per: TenantBudget["per"], now_ms: number): Period {
  const now = new Date(now_ms);
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  return per === "day"
    ? { begin_ms: Date.UTC(year, month, day), end_ms: Date.UTC(year, month, day + 1) }
    : { begin_ms: Date.UTC(year, month), end_ms: Date.UTC(year, month + 1) };
}

/** What names a budget: two with one name are not in force together. */
export const nameOf = ({ per, unit, action }: TenantBudget): string => `${per} ${unit} ${action}`;

/** The budgets in force of these lists: of two with one name that of the later list. */
export function inForce(...lists: readonly (readonly TenantBudget[])[]): TenantBudget[] {
  const by_name = new Map<string, TenantBudget>();
  for (const budget of lists.flat()) by_name.set(nameOf(budget), budget);
  return [...by_name.values()];
}

/** What was used on a day that begins then, Unix ms. */
export interface DayUse {
  readonly day_ms: number;
  readonly counts: Readonly<Counts>;
}

/** What a tenant has used in the present day and month. */
export type UsedCounts = Readonly<Record<TenantBudget["per"], readonly DayUse[]>>;

/** How much of a budget's unit that is. */
function amountOf(unit: TenantBudget["unit"], days: readonly DayUse[], book: PriceBook): number {
  if (unit === "cost") {
    return days.reduce((sum, { day_ms, counts }) => sum + costOn(book, day_ms, counts), 0);
  }
  const all = noCounts();
  for (const { counts } of days) addCounts(all, counts);
  return amountsOf(all)[unit];
}

/** A budget, and how much of it is used. */
export interface BudgetState extends Period {
  readonly budget: TenantBudget;
  /** In the budget's unit. */
  readonly used: number;
  readonly is_exhausted: boolean;
}

/**
 * How each budget stands at this time, Unix ms. What was once known to be used in a period stays used:
 * `before` is how they stood last.
 */
export function statesOf(
  budgets: readonly TenantBudget[],
  days: UsedCounts,
  book: PriceBook,
  now_ms: number,
  before: readonly BudgetState[] = [],
): BudgetState[] {
  return budgets.map((budget) => {
    const period = periodAt(budget.per, now_ms);
    const counted = amountOf(budget.unit, days[budget.per], book);
    const last = before.find((state) =>
      state.begin_ms === period.begin_ms && state.budget.per === budget.per &&
      state.budget.unit === budget.unit
    );
    const used = Math.max(counted, last?.used ?? 0);
    return { ...period, budget, used, is_exhausted: used >= budget.limit };
  });
}

/** Of the budgets that slow or refuse those that are used up, the one that does most, and longest. */
export function strictest(states: readonly BudgetState[], now_ms: number): BudgetState | undefined {
  let found: BudgetState | undefined;
  for (const state of states) {
    if (!state.is_exhausted || state.budget.action === "warn" || now_ms >= state.end_ms) continue;
    if (found === undefined || isStricter(state, found)) found = state;
  }
  return found;
}

function isStricter(one: BudgetState, other: BudgetState): boolean {
  const [refuses, others] = [one.budget.action === "refuse", other.budget.action === "refuse"];
  if (refuses !== others) return refuses;
  const [rate, other_rate] = [one.budget.messages_per_second, other.budget.messages_per_second];
  if (!refuses && rate !== other_rate) return rate < other_rate;
  return one.end_ms > other.end_ms;
}
