/**
 * Budgets of a tenant as arithmetic: which are in force, their periods, and the rest of each. Pure: usage, prices and
 * time are arguments. `budget_standings.ts` calls it.
 */
import type { TenantBudget } from "../config/schema_usage.ts";
import { costOn, type PriceBook } from "./price_book.ts";
import { addCounts, type Counts, noCounts } from "../records/counts.ts";
import { amountsOf } from "./units.ts";
import type { KvKey } from "../spine/contract/spine.ts";

/** A day or a month by UTC, Unix ms: from `begin_ms` to before `end_ms`. */
export interface Period {
  readonly begin_ms: number;
  readonly end_ms: number;
}

/** The period of a budget at this time, Unix ms. */
export function periodAt(per: TenantBudget["per"], now_ms: number): Period {
  const now = new Date(now_ms);
  const year = now.getUTCFullYear();
  const month = now.getUTCMonth();
  const day = now.getUTCDate();
  return per === "day"
    ? { begin_ms: Date.UTC(year, month, day), end_ms: Date.UTC(year, month, day + 1) }
    : { begin_ms: Date.UTC(year, month), end_ms: Date.UTC(year, month + 1) };
}

/** The identity of a budget: only one with a name is in force. */
export const nameOf = ({ per, unit, action }: TenantBudget): string => `${per} ${unit} ${action}`;

/** The budgets in force; of two with one name, that of the later list. */
export function inForce(...lists: readonly (readonly TenantBudget[])[]): TenantBudget[] {
  const by_name = new Map<string, TenantBudget>();
  for (const budget of lists.flat()) by_name.set(nameOf(budget), budget);
  return [...by_name.values()];
}

/** The usage of the day that begins then, Unix ms. */
export interface DayUse {
  readonly day_ms: number;
  readonly counts: Readonly<Counts>;
}

/** The usage of a tenant in the current day and month. */
export interface UsedCounts extends Readonly<Record<TenantBudget["per"], readonly DayUse[]>> {
  /** The tenant was erased: its former use does not count. */
  readonly is_anew?: boolean;
}

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
 * The state of each budget at this time, Unix ms. Usage of a period never decreases, unless it was erased: `before` has
 * the last states. Its price may: prices change for days that have begun.
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
    const may_fall = budget.unit === "cost" || days.is_anew === true;
    const used = may_fall ? counted : Math.max(counted, last?.used ?? 0);
    return { ...period, budget, used, is_exhausted: used >= budget.limit };
  });
}

/** The strictest of the exhausted budgets that slow or refuse, then the longest. */
export function strictest(states: readonly BudgetState[], now_ms: number): BudgetState | undefined {
  let found: BudgetState | undefined;
  for (const state of states) {
    if (!state.is_exhausted || state.budget.action === "warn" || now_ms >= state.end_ms) continue;
    if (found === undefined || isStricter(state, found)) found = state;
  }
  return found;
}

function isStricter(one: BudgetState, other: BudgetState): boolean {
  const refuses = one.budget.action === "refuse";
  const others = other.budget.action === "refuse";
  if (refuses !== others) return refuses;
  const rate = one.budget.messages_per_second;
  const other_rate = other.budget.messages_per_second;
  if (!refuses && rate !== other_rate) return rate < other_rate;
  return one.end_ms > other.end_ms;
}

/** The prefix of the marks, one for each tenant. */
export const EXHAUSTED_MARKS = "exhausted";

/** The key of a tenant's mark. */
export const markKey = (tenant_id: string): KvKey => [EXHAUSTED_MARKS, tenant_id];

/** A mark of these exhausted budgets; the same budgets and periods make the same mark. */
export function encodeMark(exhausted: readonly BudgetState[]): string {
  const budgets = exhausted.map(({ budget, begin_ms }) =>
    `${nameOf(budget)} ${budget.limit} ${begin_ms}`
  );
  const until = Math.max(...exhausted.map(({ end_ms }) => end_ms));
  return JSON.stringify({ until, budgets });
}

/** When a mark expires, or the end of a running minute, Unix ms; 0 if it cannot be read. */
export function untilOf(value: Uint8Array): number {
  try {
    const { until } = JSON.parse(new TextDecoder().decode(value));
    return typeof until === "number" ? until : 0;
  } catch {
    return 0;
  }
}
