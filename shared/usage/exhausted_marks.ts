/**
 * Marks by which Brains say that budgets of a tenant are used up, in the bucket of running minutes: Brains may not write
 * the audit log, so a Shield that learns of it looks, and reports it (`shield/usage/budget_notices.ts`).
 */
import type { KvKey } from "../spine/contract/spine.ts";
import { type BudgetState, nameOf } from "./budget.ts";

/** The keys of marks: one for each tenant, below this one. */
export const EXHAUSTED_MARKS = "exhausted";

/** Where the mark of one tenant lies. */
export const markKey = (tenant_id: string): KvKey => [EXHAUSTED_MARKS, tenant_id];

/** A mark of these budgets, which are used up; the same ones in the same periods make the same mark. */
export function encodeMark(exhausted: readonly BudgetState[]): string {
  const budgets = exhausted.map(({ budget, begin_ms }) =>
    `${nameOf(budget)} ${budget.limit} ${begin_ms}`
  );
  const until = Math.max(...exhausted.map(({ end_ms }) => end_ms));
  return JSON.stringify({ until, budgets });
}

/** Until when it is about something, Unix ms; 0 when it cannot be read. */
export function markUntil(value: Uint8Array): number {
  try {
    const { until } = JSON.parse(new TextDecoder().decode(value));
    return typeof until === "number" ? until : 0;
  } catch {
    return 0;
  }
}
