/**
 * `/v1/tenants/{tenant}/budgets` of the admin listener: a tenant's budgets and their usage. Its admin reads, an
 * operator sets. The caller is authorized already.
 */
import type { Env } from "../../../shared/env.ts";
import { ArqonError } from "@arqon/proto";
import { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { problemText } from "../../../shared/problem.ts";
import { TENANT_BUDGETS_MAX } from "../../../shared/records/tenant_settings.ts";
import { parameterOf, readValue } from "../../../shared/listeners/request_body.ts";
import { jsonBody, withBody } from "../../admin/routing/admin_routes.ts";
import type { AdminCall, AdminRoutes } from "../../admin/routing/admin_routes.ts";
import { COUNT, ID, inQuery, list, object, TEXT } from "../../openapi/openapi_parts.ts";
import { Section } from "../../settings/section.ts";
import type { Settings } from "../../settings/settings.ts";
import { type BudgetState, nameOf } from "../../../shared/usage/budget.ts";
import type { Budgets } from "../budgets.ts";
import type { UsageStores } from "../../../shared/usage/usage_stores.ts";
import type { Prices } from "../../../shared/usage/prices.ts";

/** The dependencies of the admin API. */
export interface UsageAdminContext extends Pick<Env, "log" | "node_id" | "now"> {
  readonly place: UsageStores;
  readonly prices: Prices;
}

/** The largest body, in bytes. */
const BODY_BYTES = 4_096;

/** The dependencies of the routes of budgets. */
export interface BudgetsAdminContext extends UsageAdminContext {
  readonly budgets: Budgets;
  readonly settings: Settings;
}

const OBJECT = { type: "object" };
const ANSWER = object({
  tenant: ID,
  version: COUNT,
  revision: COUNT,
  budgets: list(OBJECT),
  in_force: list(OBJECT),
  here: OBJECT,
});
/** The routes of budgets. */
export const BUDGET_ROUTES: AdminRoutes<BudgetsAdminContext> = {
  "GET /v1/tenants/{tenant}/budgets": {
    id: "getBudgets",
    summary: "a tenant's budgets, and the used part of each",
    answer: ANSWER,
    scope: "tenant-in-path",
    handle: (context, { tenant }) => BUDGETS.show(context, tenant),
  },
  "PUT /v1/tenants/{tenant}/budgets": {
    audit: "budget.set",
    id: "setBudget",
    summary: "sets a tenant's budget of one period, unit and action",
    answer: ANSWER,
    refusals: [409],
    scope: "bus",
    ...withBody(jsonBody(TenantBudget, readBody), set),
  },
  "DELETE /v1/tenants/{tenant}/budgets": {
    audit: "budget.remove",
    id: "removeBudget",
    summary: "removes a tenant's own budget",
    query: [
      inQuery("per", "day or month", TEXT, true),
      inQuery("unit", "the budget's unit", TEXT, true),
      inQuery("action", "warn, slow or refuse", TEXT, true),
    ],
    answer: ANSWER,
    refusals: [409],
    scope: "bus",
    handle: remove,
  },
};

async function readBody(request: Request, schema: typeof TenantBudget): Promise<TenantBudget> {
  const parsed = schema.safeParse(await readValue(request, BODY_BYTES));
  if (parsed.success) return parsed.data;
  throw new ArqonError("invalid-settings", problemText(parsed.error));
}

function shown(
  { budget, used, is_exhausted, begin_ms, end_ms }: BudgetState,
  own: readonly TenantBudget[],
) {
  const source = own.some((one) => nameOf(one) === nameOf(budget)) ? "tenant" : "config";
  const left = Math.max(0, budget.limit - used);
  return { ...budget, source, used, left, exhausted: is_exhausted, begin_ms, end_ms };
}

const BUDGETS = new Section(
  "budgets",
  "budgets",
  async ({ budgets: own = [] }, { budgets }: BudgetsAdminContext, tenant) => ({
    budgets: own,
    in_force: (await budgets.stand(tenant)).map((state) => shown(state, own)),
  }),
);

async function set(
  context: BudgetsAdminContext,
  call: AdminCall,
  budget: TenantBudget,
): Promise<Response> {
  return await BUDGETS.change(context, call, (budgets = []) => {
    const at = budgets.findIndex((one) => nameOf(one) === nameOf(budget));
    if (at >= 0) return budgets.with(at, budget);
    if (budgets.length < TENANT_BUDGETS_MAX) return [...budgets, budget];
    throw new ArqonError(
      "invalid-settings",
      `there are ${budgets.length} budgets, which is the limit`,
    );
  });
}

async function remove(context: BudgetsAdminContext, call: AdminCall): Promise<Response> {
  const name = ["per", "unit", "action"].map((key) => parameterOf(call.url, key)).join(" ");
  return await BUDGETS.change(
    context,
    call,
    (budgets) => budgets?.filter((one) => nameOf(one) !== name),
  );
}
