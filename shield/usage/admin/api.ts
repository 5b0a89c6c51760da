/**
 * The usage of tenants on the admin listener: `GET /v1/usage` with its price, and `/v1/tenants/{tenant}/budgets`, which
 * the tenant's admin reads and an operator sets. The caller is authorized already; `read.ts` reads.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { AdminTable, jsonBody, withBody } from "../../admin/routing/admin_routes.ts";
import type { AdminCall, AdminRoutes } from "../../admin/routing/admin_routes.ts";
import { listingAnswer } from "../../../shared/http1/answer.ts";
import { Id, readQuery, wholeNumber } from "../../admin/routing/query.ts";
import {
  about,
  answerOf,
  COUNT,
  ID,
  inQuery,
  list,
  object,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";
import { readUsage, USAGE_BY, type UsageBy } from "../read.ts";
import { USAGE_UNITS } from "../../../shared/usage/units.ts";
import type { Env } from "../../../shared/env.ts";
import { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { problemText } from "../../../shared/problem.ts";
import { TENANT_BUDGETS_MAX } from "../../../shared/records/tenant_settings.ts";
import { parameterOf, readValue } from "../../../shared/listeners/request_body.ts";
import { Section } from "../../settings/section.ts";
import type { Settings } from "../../settings/settings.ts";
import { type BudgetState, nameOf } from "../../../shared/usage/budget.ts";
import type { Budgets } from "../budgets.ts";
import type { UsageStores } from "../../../shared/usage/usage_stores.ts";
import type { Prices } from "../../../shared/usage/prices.ts";

/** The dependencies of the admin API. */
interface UsageAdminContext extends Pick<Env, "log" | "node_id" | "now"> {
  readonly place: UsageStores;
  readonly prices: Prices;
}

/** The largest body, in bytes. */
const BODY_BYTES = 4_096;

/** The dependencies of the routes of budgets. */
interface BudgetsAdminContext extends UsageAdminContext {
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
const BUDGET_ROUTES: AdminRoutes<BudgetsAdminContext> = {
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

const USAGE_ROWS_MAX = 10_000;
const DAY_MS = 86_400_000;

const By = z.string().transform((text, context): readonly UsageBy[] => {
  const names = text === "" ? [] : text.split(",");
  const known = names.filter((name): name is UsageBy => USAGE_BY.some((by) => by === name));
  if (known.length === names.length && new Set(names).size === names.length) return known;
  const message = `expected some of ${USAGE_BY.join(", ")}, each once, separated by commas`;
  context.addIssue({ code: "custom", message });
  return z.NEVER;
});
const Wanted = {
  tenant: Id.optional().describe("the tenant; absent: the token's tenant"),
  by: By.default([]).meta(
    about(`separated by some of ${USAGE_BY.join(", ")}, with commas between them`, TEXT),
  ),
  since_ms: wholeNumber("usage that ends after this time; absent: of the last day"),
  until_ms: wholeNumber("usage that begins before this time; absent: all later usage"),
};

const amount = z.number();
const Amounts = z.strictObject({
  ...Object.fromEntries(USAGE_UNITS.map((unit) => [unit, amount])),
  cost: amount,
});
/** The routes of the usage ledger, and of budgets. */
export const USAGE_ROUTES = new AdminTable<BudgetsAdminContext>("usage", {
  ...BUDGET_ROUTES,
  "GET /v1/usage": {
    id: "readUsage",
    summary: "a tenant's usage and its cost",
    query: Wanted,
    answer: object({
      node_id: ID,
      tenant: ID,
      since_ms: UNIX_MS,
      until_ms: UNIX_MS,
      by: list({ type: "string", enum: [...USAGE_BY] }),
      rows: list({ type: "object" }),
      total: answerOf(Amounts),
      lost: list(object({ node_id: ID, after_ms: UNIX_MS, most_ms: UNIX_MS })),
      whole_since_ms: UNIX_MS,
      damaged: { type: "number" },
    }),
    refusals: [409],
    scope: "own",
    handle: read,
  },
});

async function read(context: UsageAdminContext, call: AdminCall): Promise<Response> {
  const { place, prices, node_id, log, now } = context;
  const query = readQuery(call.url, Wanted);
  const { tenant = call.tenant_id, by, since_ms = now() - DAY_MS } = query;
  // Without an end, the answer includes minutes that were counted by a clock that was ahead.
  const until_ms = query.until_ms ?? Infinity;
  if (since_ms >= until_ms) {
    throw new ArqonError("invalid-settings", "since_ms: expected a time before until_ms");
  }
  log.info("an operator read a tenant's usage", { tenant_id: tenant, by: call.by });
  const [store, running, book] = await Promise.all([place.store(), place.running(), prices.read()]);
  const bounds = { rows_max: USAGE_ROWS_MAX, refuse: () => refuse(by), refuseBy };
  const source = { store, running, place, book, now, ...bounds };
  const found = await readUsage(source, { tenant, by, since_ms, until_ms });
  const rows = found.rows.values().map(({ about, amounts, cost }) => ({
    ...Object.fromEntries(by.map((name, at) => [name, about[at]])),
    ...amounts,
    cost,
  }));
  const { cost, lost, whole_since_ms, damaged } = found;
  const ends_ms = query.until_ms === undefined ? Math.max(now(), found.since_ms) : found.until_ms;
  const about = { node_id, tenant, since_ms: found.since_ms, until_ms: ends_ms, by };
  const answer = { ...about, rows, total: { ...found.total, cost }, lost, whole_since_ms, damaged };
  return listingAnswer(tenant, answer);
}

function refuseBy(by: UsageBy, before_ms: number): never {
  const kept = by === "minute" ? "hour, later by the day" : "day";
  throw new ArqonError(
    "invalid-settings",
    `by ${by}: request usage from ${
      new Date(before_ms).toISOString()
    } on; before, use is kept by the ${kept}`,
  );
}

function refuse(by: readonly UsageBy[]): never {
  throw new ArqonError(
    "invalid-settings",
    `more than ${USAGE_ROWS_MAX} rows by ${
      by.join(", ")
    }: request a shorter period or fewer dimensions`,
  );
}
