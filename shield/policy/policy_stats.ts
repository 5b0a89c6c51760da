/**
 * The verdicts and costs of each policy: those on this Shield, as plain numbers by tenant, policy, module and hook, and
 * limited; and those on all Shields (`/v1/policies/stats`). `pool/policy_metrics.ts` has metrics.
 */
import { BOOLEAN, COUNT, list, object, ref, TEXT } from "../openapi/openapi_parts.ts";
import type { ClusterAsker } from "../../shared/cluster/cluster_asker.ts";
import { topOf } from "../../shared/containers/top.ts";
import type { Env } from "../../shared/env.ts";
import { type AdminCall, AdminTable } from "../admin/routing/admin_routes.ts";
import { Id, Limit, OneNode, readQuery } from "../admin/routing/query.ts";
import { z } from "zod";
import type { EvaluateRequest } from "./abi/policy.ts";
import type { Hook, PolicyBinding, PolicyOutcome } from "../../shared/records/verdict.ts";

/** The most policies with totals of their own. */
export const POLICIES_MAX = 1_000;

const Count = z.number().min(0);

/** One policy's totals, as a schema; `buckets` are pairs of a bucket of `bucketOf` and its count. */
const PolicyRow = z.strictObject({
  tenant_id: Id.or(z.literal("_other")),
  name: z.string().max(64),
  module: z.string().max(64),
  hook: z.string().max(32),
  allow: Count,
  reject: Count,
  error: Count,
  fuel: Count,
  fuel_max: Count,
  buckets: z.array(z.tuple([z.int().min(0).max(255), Count])).max(256),
});
type PolicyRow = z.output<typeof PolicyRow>;

/** The policies of a Shield, as an answer. */
export const PolicyAnswer = z.strictObject({
  rows: z.array(PolicyRow).max(POLICIES_MAX + 1),
  truncated: z.boolean().optional(),
});

/** The buckets for each doubling of the time. */
const STEPS = 4;
const BUCKETS = 112;
const OTHER = "_other";

/** The bucket of a time in ms: the first one up to 1 µs, the limit of each next one 2^(1/4) times as large. */
export function bucketOf(duration_ms: number): number {
  const micros = duration_ms * 1_000;
  if (!(micros > 1)) return 0;
  return Math.min(BUCKETS - 1, Math.ceil(STEPS * Math.log2(micros)));
}

/** The longest time of a bucket, in µs. */
export function boundOf_us(bucket: number): number {
  return 2 ** (bucket / STEPS);
}

/** The time in µs that the fraction `quantile` of all times did not exceed; 0 without times. */
export function quantileOf_us(
  buckets: Iterable<readonly [bucket: number, count: number]>,
  quantile: number,
): number {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const total = sorted.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [bucket, count] of sorted) {
    seen += count;
    if (seen >= quantile * total) return boundOf_us(bucket);
  }
  return 0;
}

interface Totals {
  readonly tenant_id: string;
  readonly name: string;
  readonly module: string;
  readonly hook: string;
  allow: number;
  reject: number;
  error: number;
  fuel: number;
  fuel_max: number;
  readonly buckets: Uint32Array;
}

/** The totals of all policies of this process. */
export class PolicyTable {
  readonly #totals = new Map<string, Totals>();
  /**
   * The totals by binding, so that no message has to make a key: a binding is one object while its chain is in force.
   */
  readonly #known = new WeakMap<PolicyBinding, Partial<Record<Hook, Totals>>>();

  record(
    { tenant_id, hook, chain }: Pick<EvaluateRequest, "tenant_id" | "hook" | "chain">,
    outcomes: readonly PolicyOutcome[],
  ): void {
    for (const outcome of outcomes) {
      const binding = chain.find(({ name }) => name === outcome.name);
      if (binding === undefined) continue;
      const totals = this.#totalsOf(tenant_id, binding, hook);
      if (outcome.fault !== undefined) totals.error++;
      else if (outcome.allowed) totals.allow++;
      else totals.reject++;
      totals.fuel += outcome.fuel;
      totals.fuel_max = Math.max(totals.fuel_max, outcome.fuel);
      const bucket = bucketOf(outcome.duration_ms);
      // A policy that did not run would only lower the quantiles.
      if (outcome.duration_ms > 0) totals.buckets[bucket] = (totals.buckets[bucket] ?? 0) + 1;
    }
  }

  /** Verdicts of all policies together. */
  verdicts(): { allow: number; reject: number; error: number } {
    const sum = { allow: 0, reject: 0, error: 0 };
    for (const { allow, reject, error } of this.#totals.values()) {
      sum.allow += allow;
      sum.reject += reject;
      sum.error += error;
    }
    return sum;
  }

  /** The totals of each policy, as other processes get them. */
  rows(): PolicyRow[] {
    return [...this.#totals.values()].map(({ buckets, ...totals }) => ({
      ...totals,
      buckets: [...buckets.entries()].filter(([, count]) => count > 0),
    }));
  }

  #totalsOf(tenant_id: string, binding: PolicyBinding, hook: Hook): Totals {
    const by_hook = this.#known.get(binding) ?? {};
    const known = by_hook[hook];
    if (known !== undefined) return known;
    const { name, sha256 } = binding;
    const totals = by_hook[hook] = this.#of(tenant_id, name, sha256, hook);
    this.#known.set(binding, by_hook);
    return totals;
  }

  #of(tenant_id: string, name: string, module: string, hook: string): Totals {
    const key = `${tenant_id}\n${name}\n${module}\n${hook}`;
    const known = this.#totals.get(key);
    if (known !== undefined) return known;
    if (tenant_id !== OTHER && this.#totals.size >= POLICIES_MAX) {
      return this.#of(OTHER, "", "", "");
    }
    const totals = { tenant_id, name, module, hook, allow: 0, reject: 0, error: 0 };
    const made = { ...totals, fuel: 0, fuel_max: 0, buckets: new Uint32Array(BUCKETS) };
    this.#totals.set(key, made);
    return made;
  }
}

// All Shields.

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
