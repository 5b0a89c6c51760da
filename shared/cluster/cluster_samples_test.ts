/** The samples that a process keeps about itself: their content, and their limit. */
import assert from "node:assert/strict";
import type { ClusterNode } from "./cluster_node.ts";
import { NodeSamples, SAMPLE_MS, Sampler, SAMPLES_MAX } from "./cluster_samples.ts";

function nodeAt(uptime_ms: number, more: Partial<ClusterNode> = {}): ClusterNode {
  return {
    kind: "shield",
    node_id: "s-1",
    process_id: "p-1",
    version: "1.0.0",
    started_ms: 1_767_323_045_000,
    uptime_ms,
    ready: true,
    draining: false,
    checks: {},
    spine: { engine: "embedded" },
    cpu_seconds: uptime_ms / 2_000,
    rss_bytes: 100,
    heap_used_bytes: 50,
    event_loop_lag_ms: 1,
    totals: { ingress_messages: uptime_ms, egress_messages: 2, rejects: { banned: 3 } },
    gauges: { connections: 7 },
    ...more,
  };
}

Deno.test("only five minutes are kept, the oldest first, each with its age", async () => {
  let now_ms = 0;
  const sampler = new Sampler({
    node: () => Promise.resolve(nodeAt(now_ms)),
    monotonic_ms: () => now_ms,
  });
  assert.equal(sampler.tell(), undefined, "before the first there is nothing to tell");
  for (let taken = 0; taken < 3 * SAMPLES_MAX; taken++) {
    await sampler.take();
    now_ms += SAMPLE_MS;
  }
  const report = NodeSamples.parse(sampler.tell());
  assert.deepEqual([report.kind, report.node_id, report.process_id], ["shield", "s-1", "p-1"]);
  assert.equal(report.samples.length, SAMPLES_MAX);
  const ages = report.samples.map(({ age_ms }) => age_ms);
  assert.deepEqual([ages[0], ages.at(-1)], [SAMPLES_MAX * SAMPLE_MS, SAMPLE_MS]);
  assert.ok(ages[0]! - ages.at(-1)! >= 300_000, "the charts show five minutes");
  assert.deepEqual(report.samples.at(-1), {
    age_ms: SAMPLE_MS,
    uptime_ms: now_ms - SAMPLE_MS,
    cpu_seconds: (now_ms - SAMPLE_MS) / 2_000,
    rss_bytes: 100,
    event_loop_lag_ms: 1,
    connections: 7,
    ingress_messages: now_ms - SAMPLE_MS,
    egress_messages: 2,
    rejects: { banned: 3 },
  });
});

Deno.test("a Brain reports its samples; reasons above the limit are omitted", async () => {
  const brain = nodeAt(1, { kind: "brain", totals: { commands: 3 }, gauges: { rooms: 2 } });
  const sampler = new Sampler({ node: () => Promise.resolve(brain), monotonic_ms: () => 0 });
  await sampler.take();
  const [sample] = NodeSamples.parse(sampler.tell()).samples;
  assert.deepEqual(Object.keys(sample ?? {}).sort(), [
    "age_ms",
    "cpu_seconds",
    "event_loop_lag_ms",
    "rss_bytes",
    "uptime_ms",
  ]);
  const rejects = Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`r-${at}`, at]));
  const many = new Sampler({
    node: () => Promise.resolve(nodeAt(1, { totals: { rejects } })),
    monotonic_ms: () => 0,
  });
  await many.take();
  const report = NodeSamples.parse(many.tell());
  assert.equal(Object.keys(report.samples[0]?.rejects ?? {}).length, 512);
});
