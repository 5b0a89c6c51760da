/** `/v1/policies/stats`: the verdicts and costs of each policy on all Shields. `policy_table.ts` has those of one. */
import { BOOLEAN, COUNT, list, object, ref, TEXT } from "../openapi/openapi_parts.ts";
import type { ClusterAsker } from "../../shared/cluster/cluster_asker.ts";
import { topOf } from "../../shared/containers/top.ts";
import type { Env } from "../../shared/env.ts";
import { type AdminCall, AdminTable } from "../admin/routing/admin_routes.ts";
import { Id, Limit, OneNode, readQuery } from "../admin/routing/query.ts";
import { POLICIES_MAX, PolicyAnswer, type PolicyRow, quantileOf_us } from "./policy_table.ts";

interface StatsContext extends Pick<Env, "log"> {
  readonly asker: ClusterAsker;
}

const stats = object({
  policies: list(object({
    tenant_id: TEXT,
    name: TEXT,
    module: TEXT,
    hook: TEXT,
    verdicts: object({ allow: COUNT, reject: COUNT, error: COUNT }),
    fuel_mean: COUNT,
    fuel_max: COUNT,
    p50_us: COUNT,
    p99_us: COUNT,
  })),
  truncated: BOOLEAN,
  nodes: ref("Nodes"),
});

const QUERY = {
  tenant: Id.optional().describe("only this tenant's policies"),
  node: OneNode,
  limit: Limit,
};

/** The route. */
export const POLICY_STATS_ROUTES = new AdminTable<StatsContext>("policies", {
  "GET /v1/policies/stats": {
    id: "getPolicyStats",
    summary: "verdicts, fuel and time of each policy, over all Shields",
    query: QUERY,
    answer: stats,
    refusals: [404, 429],
    scope: "own",
    handle: policyStats,
  },
});

interface MergedPolicy extends Omit<PolicyRow, "buckets"> {
  readonly buckets: Map<number, number>;
}

function mergePolicies(rows: readonly PolicyRow[]): MergedPolicy[] {
  const merged = new Map<string, MergedPolicy>();
  for (const { buckets, ...row } of rows) {
    const key = `${row.tenant_id}\n${row.name}\n${row.module}\n${row.hook}`;
    const before = merged.get(key);
    const policy = before ?? { ...row, buckets: new Map<number, number>() };
    if (before !== undefined) {
      for (const figure of ["allow", "reject", "error", "fuel"] as const) {
        before[figure] += row[figure];
      }
      before.fuel_max = Math.max(before.fuel_max, row.fuel_max);
    }
    for (const [bucket, count] of buckets) {
      policy.buckets.set(bucket, (policy.buckets.get(bucket) ?? 0) + count);
    }
    merged.set(key, policy);
  }
  return [...merged.values()];
}

function shownPolicy({ tenant_id, name, module, hook, ...totals }: MergedPolicy) {
  const { allow, reject, error, fuel, fuel_max, buckets } = totals;
  const evaluated = allow + reject + error;
  return {
    tenant_id,
    name,
    module,
    hook,
    verdicts: { allow, reject, error },
    fuel_mean: evaluated === 0 ? 0 : fuel / evaluated,
    fuel_max,
    p50_us: quantileOf_us(buckets, 0.5),
    p99_us: quantileOf_us(buckets, 0.99),
  };
}

/** Answers `GET /v1/policies/stats`. */
export async function policyStats(
  { asker }: Pick<StatsContext, "asker">,
  { url, only_tenant }: AdminCall,
): Promise<Response> {
  const { node, limit, tenant: wanted } = readQuery(url, QUERY);
  const tenant = only_tenant ?? wanted;
  const options = { of: "shield" } as const;
  const { answers, nodes } = await asker.askAt(node, "policy_stats", PolicyAnswer, options);
  const all = mergePolicies(answers.flatMap(({ value }) => value.rows));
  const { items, total } = await topOf(all, {
    limit: Math.min(limit, POLICIES_MAX),
    // The entry of all further tenants has no name, so it never matches a tenant's name.
    accept: ({ tenant_id, name }) =>
      (tenant === undefined || tenant_id === tenant) && (only_tenant === undefined || name !== ""),
    score: ({ allow, reject, error }) => allow + reject + error,
    name: ({ tenant_id, name, module, hook }) => `${tenant_id}/${name}/${module}/${hook}`,
  });
  const policies = items.map(shownPolicy);
  return Response.json({ policies, truncated: total > items.length, nodes });
}
