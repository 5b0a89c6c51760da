/** The limit of labels that tenants choose. `pool_test.ts` tests that the pool counts correctly. */
import assert from "node:assert/strict";
import { createMetrics, exposition } from "../../../shared/metrics/metrics.ts";
import { PolicyMetrics } from "./policy_metrics.ts";
import { faultOutcome } from "./pool_verdict.ts";
import { policy } from "../testing/pool.ts";

Deno.test("after 256 names of policies the others count as other", async () => {
  const registry = createMetrics({ node_id: "test", version: "0" });
  const metrics = new PolicyMetrics(registry, {
    pending: () => 3,
    workers: () => 2,
    slow_tenants: () => 0,
    quarantined: () => 1,
    senders: () => 7,
    senders_dropped: () => 2,
  });
  for (let number = 0; number < 300; number++) {
    metrics.outcome(faultOutcome(policy(`p${number}`), "breaker-open"));
  }
  metrics.replaced();
  const { body } = await exposition(registry);
  const series = body.split("\n").filter((line) =>
    line.startsWith("shield_policy_verdicts_total{")
  );
  assert.equal(series.length, 257);
  assert.ok(
    series.includes(
      'shield_policy_verdicts_total{module="other",verdict="refused",reason="breaker-open"} 44',
    ),
  );
  assert.match(body, /^shield_policy_workers_replaced_total 1$/m);
  assert.match(body, /^shield_policy_queue_depth 3$/m);
  assert.match(body, /^shield_policy_failing_senders 7$/m);
  assert.match(body, /^shield_policy_failing_senders_dropped_total 2$/m);
  assert.doesNotMatch(body, /duration_seconds_count\{module="p1"\}/);
});
