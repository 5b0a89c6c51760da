/**
 * The verdicts and costs of each policy on this Shield, for the admin API: plain numbers by tenant, policy, module and
 * hook, limited. `pool/policy_metrics.ts` has metrics.
 */
import { z } from "zod";
import type { EvaluateRequest } from "./abi/policy.ts";
import type { Hook, PolicyBinding, PolicyOutcome } from "../../shared/records/verdict.ts";
import { Id } from "../admin/routing/query.ts";

/** The most policies with totals of their own. */
export const POLICIES_MAX = 1_000;

const Count = z.number().min(0);

/** One policy's totals, as a schema; `buckets` are pairs of a bucket of `bucketOf` and its count. */
export const PolicyRow = z.strictObject({
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
export type PolicyRow = z.output<typeof PolicyRow>;

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
