/**
 * Says of budgets that a plan would change which are used up already: those hold from the moment that they are
 * applied. What is used is the ledger's.
 */
import { ArqonError } from "@arqon/proto";
import type { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { nameOf, periodAt } from "../../../shared/usage/budget.ts";
import { membersOf } from "../../answers/policy_text.ts";
import { askAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { Change } from "../../desired/difference.ts";
import type { Desired } from "../../desired/state.ts";
import type { Io } from "../../terminal/io.ts";

const count = (number: number) => number.toLocaleString("en-US", { maximumFractionDigits: 3 });

/** What the tenant has used in the period of a budget; undefined: nothing is counted there. */
async function usedOf(
  io: Io,
  admin: Admin,
  tenant: string,
  { per, unit }: TenantBudget,
): Promise<number | undefined> {
  const { begin_ms } = periodAt(per, io.now());
  const query = new URLSearchParams({ tenant, since_ms: String(begin_ms) });
  try {
    const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/usage?${query}` });
    return Number(membersOf(answer["total"])[unit] ?? 0);
  } catch (error) {
    // A bus that counts nothing has no such path; the apply says why it takes no budgets.
    if (error instanceof ArqonError && error.reason === "not-found") return undefined;
    throw error;
  }
}

/** A sentence for each budget that is to change and is used up. Throws as `askAdmin` does. */
export async function budgetNotes(
  io: Io,
  admin: Admin,
  { tenant, state }: Pick<Desired, "tenant" | "state">,
  changes: readonly Change[],
): Promise<string[]> {
  const notes: string[] = [];
  for (const { kind, name, action } of changes) {
    const budget = state.budgets?.find((one) => nameOf(one) === name);
    if (kind !== "budgets" || action === "remove" || budget === undefined) continue;
    const used = await usedOf(io, admin, tenant, budget);
    if (used === undefined || used < budget.limit) continue;
    const of = `${count(used)} of ${count(budget.limit)}`;
    notes.push(`budget ${name} is used up already: ${of} in this ${budget.per}`);
  }
  return notes;
}
