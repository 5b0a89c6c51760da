/** How a Brain measures convergence: from a Shield's stamp to its own merge. In virtual time. */
import assert from "node:assert/strict";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { Registry } from "../../shared/metrics.ts";
import { createBrainPresenceMetrics } from "./metrics.ts";
import { TestCluster } from "./test_cluster.ts";
import { member } from "./test_shield.ts";

Deno.test("lag goes from the stamp of a change to its merge; clock skew makes none of it negative", async () => {
  const cluster = new TestCluster();
  const [brain] = cluster.brains("b1");
  const shield = cluster.shield("s1");
  shield.join(member("c1"));
  cluster.run(399);
  shield.announce();
  cluster.run(10);
  const lag = async () => {
    const histogram = await brain!.registry.getSingleMetric("consistency_convergence_lag")!.get();
    const value = (name: string) =>
      histogram.values.find((line) => "metricName" in line && line.metricName === name)!.value;
    return [value("consistency_convergence_lag_count"), value("consistency_convergence_lag_sum")];
  };
  assert.deepEqual(await lag(), [1, 0.4]);
  const now_ms = cluster.now_ms;
  const entry = { ...member("c2"), counter: 2, joined_ms: now_ms, changed_ms: now_ms + 60_000 };
  const delta = { writer: shield.writer, start: 1, end: 2, entries: [entry], removed: [] };
  const skewed: ClusterMessage = { kind: "announcement", delta, leaving: false };
  brain!.receive("sys.presence.announce.s1", skewed);
  assert.deepEqual(await lag(), [2, 0.4]);
});

Deno.test("what is older than the Brain says nothing of how fast it converges", async () => {
  const cluster = new TestCluster();
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(60_000);
  const [brain] = cluster.brains("b1");
  assert.equal(brain!.presence.count("acme", "lobby").connections, 1);
  assert.match(await brain!.registry.metrics(), /^consistency_convergence_lag_count 0$/m);
  assert.equal(await brain!.metric("brain_presence_deltas_total", { source: "pulled" }), 1);
});

Deno.test("the maximum is that since the last scrape", async () => {
  const registry = new Registry();
  const metrics = createBrainPresenceMetrics(registry);
  metrics.observeLag(2_500);
  metrics.observeLag(10);
  const line = async () =>
    (await registry.metrics()).split("\n").find((text) =>
      text.startsWith("consistency_convergence_lag_max ")
    );
  assert.equal(await line(), "consistency_convergence_lag_max 2.5");
  assert.equal(await line(), "consistency_convergence_lag_max 0");
});
