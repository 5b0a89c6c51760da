/** Verdicts and costs of policies: fuel, and quantiles with the accuracy of a bucket. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { PolicyBinding } from "../../shared/records/verdict.ts";
import {
  boundOf_us,
  bucketOf,
  POLICIES_MAX,
  PolicyAnswer,
  PolicyTable,
  quantileOf_us,
} from "./policy_stats.ts";
import { binding as bindingWith, outcomeOf as outcome } from "./testing/modules.ts";

const binding = (name: string): PolicyBinding => bindingWith({ name });

const asked = (tenant_id: string, ...chain: PolicyBinding[]) =>
  ({ tenant_id, hook: "on_message", chain }) as const;

Deno.test("verdicts are counted by policy, and summed", () => {
  const table = new PolicyTable();
  const a = binding("a");
  const b = binding("b");
  table.record(asked("acme", a, b), [outcome("a"), outcome("b", { allowed: false })]);
  table.record(asked("acme", a), [outcome("a", { allowed: false, fault: "fuel", fuel: 30 })]);
  table.record(asked("other", binding("a")), [outcome("a")]);
  const rows = table.rows();
  assert.equal(rows.length, 3);
  const [first] = rows;
  assert.deepEqual({ ...first, buckets: [] }, {
    tenant_id: "acme",
    name: "a",
    module: "0".repeat(64),
    hook: "on_message",
    allow: 1,
    reject: 0,
    error: 1,
    fuel: 40,
    fuel_max: 30,
    buckets: [],
  });
  assert.deepEqual(table.verdicts(), { allow: 2, reject: 1, error: 1 });
  assert.ok(PolicyAnswer.safeParse({ rows }).success);
});

Deno.test("policies beyond the limit count together", () => {
  const table = new PolicyTable();
  for (let index = 0; index < POLICIES_MAX + 500; index++) {
    const name = `p${index}`;
    table.record(asked("acme", binding(name)), [outcome(name)]);
  }
  const rows = table.rows();
  assert.equal(rows.length, POLICIES_MAX + 1);
  assert.equal(rows.at(-1)?.tenant_id, "_other");
  assert.equal(table.verdicts().allow, POLICIES_MAX + 500);
  assert.ok(PolicyAnswer.safeParse({ rows }).success);
});

Deno.test("a quantile is at most one bucket too large, and never too small", () => {
  const times = fc.array(fc.double({ min: 0.001, max: 10_000, noNaN: true }), { minLength: 1 });
  fc.assert(fc.property(times, fc.constantFrom(0.5, 0.9, 0.99), (durations_ms, quantile) => {
    const counts = new Map<number, number>();
    for (const duration_ms of durations_ms) {
      const bucket = bucketOf(duration_ms);
      counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
    }
    const sorted = durations_ms.toSorted((a, b) => a - b);
    const right_us = 1_000 * sorted[Math.ceil(quantile * sorted.length) - 1]!;
    const found_us = quantileOf_us(counts, quantile);
    assert.ok(found_us >= right_us * 0.999, `${found_us} < ${right_us}`);
    assert.ok(found_us <= Math.max(1, right_us * 2 ** 0.25) * 1.001, `${found_us} > ${right_us}`);
  }));
  assert.equal(quantileOf_us([], 0.5), 0);
  assert.equal(boundOf_us(0), 1);
});
