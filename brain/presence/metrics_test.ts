/** How a Brain measures convergence: from a Shield's stamp to its own merge. In virtual time. */
import assert from "node:assert/strict";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { createBrainPresenceMetrics } from "./metrics.ts";
import { TestCluster } from "./testing/cluster.ts";
import { member } from "./testing/shield.ts";

const NAME = "consistency_convergence_seconds";

Deno.test("lag is measured from the stamp of a change to its merge; clock skew never makes it negative", async () => {
  const cluster = new TestCluster();
  const [brain] = cluster.brains("b1");
  const shield = cluster.shield("s1");
  shield.join(member("c1"));
  cluster.run(399);
  shield.announce();
  cluster.run(10);
  const lag = async () => {
    const histogram = await brain!.registry.getSingleMetric("consistency_convergence_seconds")!
      .get();
    const value = (name: string) =>
      histogram.values.find((line) => "metricName" in line && line.metricName === name)!.value;
    return [value(`${NAME}_count`), value(`${NAME}_sum`)];
  };
  assert.deepEqual(await lag(), [1, 0.4]);
  const now_ms = cluster.now_ms;
  const entry = { ...member("c2"), counter: 2, joined_ms: now_ms, changed_ms: now_ms + 60_000 };
  const delta = { writer: shield.writer, start: 1, end: 2, entries: [entry], removed: [] };
  const skewed: ClusterMessage = { kind: "announcement", delta, leaving: false };
  brain!.receive("sys.presence.announce.s1", skewed);
  assert.deepEqual(await lag(), [2, 0.4]);
});

Deno.test("changes older than the Brain do not count for convergence", async () => {
  const cluster = new TestCluster();
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(60_000);
  const [brain] = cluster.brains("b1");
  assert.equal(brain!.presence.count("acme", "lobby").connections, 1);
  assert.match(await brain!.registry.metrics(), /^consistency_convergence_seconds_count 0$/m);
  assert.equal(await brain!.metric("brain_presence_deltas_total", { source: "pulled" }), 1);
});

Deno.test("the gauge is what the latest convergence took, and nothing once that is a minute ago", async () => {
  let now_ms = 0;
  const registry = new Registry();
  const metrics = createBrainPresenceMetrics(registry, () => now_ms);
  const gauge = async () =>
    Number(/^consistency_convergence_lag (\S+)$/m.exec(await registry.metrics())?.[1]);
  assert.equal(await gauge(), 0, "nothing was merged yet");
  for (const lag_ms of [20, 2_500, 10]) metrics.observeLag(lag_ms, now_ms);
  assert.equal(await gauge(), 2.5, "the oldest of those that came together");
  assert.equal(await gauge(), 2.5, "a scrape changes nothing: there may be two Prometheus");
  now_ms = 60_000;
  assert.equal(await gauge(), 2.5);
  metrics.observeLag(40, now_ms);
  assert.equal(await gauge(), 0.04, "the next says more of now");
  now_ms += 60_001;
  assert.equal(await gauge(), 0);
});

Deno.test("the maximum covers the last one to two minutes, for every scraper", async () => {
  let now_ms = 179_999;
  const registry = new Registry();
  const metrics = createBrainPresenceMetrics(registry, () => now_ms);
  const max = async () =>
    Number(/^consistency_convergence_lag_max (\S+)$/m.exec(await registry.metrics())?.[1]);
  assert.equal(await max(), 0);
  metrics.observeLag(2_500, now_ms);
  metrics.observeLag(10, now_ms);
  assert.deepEqual([await max(), await max()], [2.5, 2.5]);
  now_ms += 60_000;
  assert.equal(await max(), 2.5, "a Prometheus that comes once a minute sees it too");
  metrics.observeLag(40, now_ms);
  now_ms += 60_000;
  assert.equal(await max(), 0.04);
  now_ms += 120_000;
  assert.equal(await max(), 0);
});
