/**
 * Who may put limits in force with a tenant's state, and whether this bus counts them: quotas and budgets are an
 * operator's to set, and one that nothing counts would be a promise that nobody keeps.
 */
import { ArqonError } from "@arqon/proto";
import type { TenantSettings } from "../../shared/records/tenant_settings.ts";
import type { AdminCall } from "../admin/routing/admin_routes.ts";
import { requireScope } from "../admin/routing/admin_scope.ts";
import type { Given } from "../capability.ts";
import type { Wanted } from "./decision.ts";

/** What says which limits this Shield counts. */
export type CountedLimits = Pick<Given, "has_quotas" | "standBudgets">;

const NEEDS = {
  quotas: "[quota] is not in the configuration of this Shield, so nothing counts them",
  budgets: "[usage] enabled is not true on this Shield, so nothing counts them",
} as const;

/**
 * Lets limits pass that are as they were. Throws `role-forbidden` (403) for others that a tenant's own admin
 * gives, and `invalid-settings` for those that are not counted here.
 */
export function requireLimits(
  { has_quotas, standBudgets }: CountedLimits,
  { only_tenant }: Pick<AdminCall, "only_tenant">,
  before: Pick<TenantSettings, "quotas" | "budgets">,
  wanted: Pick<Wanted, "quotas" | "budgets">,
): void {
  const counted = { quotas: has_quotas, budgets: standBudgets !== undefined };
  for (const kind of ["quotas", "budgets"] as const) {
    const list = wanted[kind];
    if (list === undefined || JSON.stringify(list) === JSON.stringify(before[kind] ?? [])) continue;
    requireScope("bus", { only_tenant }, []);
    if (list.length === 0 || counted[kind]) continue;
    throw new ArqonError("invalid-settings", `${kind}: ${NEEDS[kind]}`);
  }
}
