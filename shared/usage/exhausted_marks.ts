/**
 * Marks by which Brains report a tenant's exhausted budgets, in the bucket of running minutes: Brains may not write the
 * audit log, so a Shield sees the mark, checks, and reports it (`shield/usage/budget_notices.ts`).
 */
import type { KvKey } from "../spine/contract/spine.ts";
import { type BudgetState, nameOf } from "./budget.ts";

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

/** When the mark expires, Unix ms; 0 if it cannot be read. */
export function markUntil(value: Uint8Array): number {
  try {
    const { until } = JSON.parse(new TextDecoder().decode(value));
    return typeof until === "number" ? until : 0;
  } catch {
    return 0;
  }
}
