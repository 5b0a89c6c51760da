/** Readings of a cluster, rates between them, and what people see of both. */
import assert from "node:assert/strict";
import { clusterTable, ratesOf, readCluster, totalOf } from "./cluster.ts";

const shield = (more: Record<string, unknown> = {}) => ({
  kind: "shield",
  node_id: "s-1",
  process_id: String(more["node_id"] ?? "s-1"),
  version: "0.1.0",
  started_ms: 1_000,
  ready: true,
  draining: false,
  checks: { spine: { ok: true, since_ms: 1, detail: "nats connected" } },
  cpu_seconds: 10,
  rss_bytes: 104_857_600,
  event_loop_lag_ms: 1.25,
  totals: {
    ingress_messages: 100,
    egress_messages: 1_000,
    rejects: { flooding: 1 },
    handshakes: 5,
  },
  gauges: { connections: 12_345, rooms: 7 },
  ...more,
});

const reading = (now_ms: number, ...nodes: unknown[]) =>
  readCluster({ now_ms, nodes, silent: ["b-9"] });

Deno.test("rates are what totals grew by, over the time between two readings", () => {
  const before = reading(10_000, shield());
  const totals = {
    ingress_messages: 300,
    egress_messages: 3_000,
    rejects: { flooding: 1, "not-granted": 4 },
  };
  const [only] = ratesOf(before, reading(12_000, shield({ totals, cpu_seconds: 11 })));
  assert.deepEqual(only?.rates, {
    ingress_per_second: 100,
    egress_per_second: 1_000,
    rejects_per_second: 2,
    handshakes_per_second: 0,
    cpu: 0.5,
  });
});

Deno.test("a restarted process, a new one and the first reading have no rates", () => {
  const before = reading(10_000, shield());
  const now = reading(11_000, shield({ started_ms: 9_000 }), shield({ node_id: "s-2" }));
  assert.deepEqual(ratesOf(before, now).map(({ rates }) => rates), [undefined, undefined]);
  assert.equal(ratesOf(undefined, before)[0]?.rates, undefined);
  assert.equal(ratesOf(before, before)[0]?.rates, undefined);
});

Deno.test("the table has one line per node, with what fails and which nodes are silent", () => {
  const checks = { keys: { ok: false, since_ms: 1, detail: "no keys yet for x\u001b[31m" } };
  const brain = { ...shield({ node_id: "b-1", ready: false, checks }), kind: "brain" };
  const text = clusterTable(
    reading(1, brain, shield({ node_id: "s-2", draining: true }), shield()),
  );
  const lines = text.trimEnd().split("\n");
  assert.match(lines[1] ?? "", /^shield s-1 +ready +12,345 +7 /);
  assert.match(lines[2] ?? "", /^shield s-2 +draining /);
  assert.match(lines[3] ?? "", /^brain b-1 +NOT READY /);
  assert.match(lines[4] ?? "", /^total +3 processes /);
  assert.match(lines[5] ?? "", /^brain b-1: keys: no keys yet for x/);
  assert.equal(lines[6], "b-9: no answer");
  assert.ok(!text.includes("\u001b"), "no answer can drive the terminal");
});

Deno.test("nodes of one process share its figures, which are counted once; others are summed", () => {
  const MB = 1_048_576;
  const dev = { process_id: "p-1", rss_bytes: 300 * MB };
  const nodes = [
    { ...shield({ ...dev, node_id: "b-1" }), kind: "brain" },
    shield(dev),
    shield({ node_id: "s-2" }),
  ];
  const text = clusterTable(reading(1, ...nodes));
  assert.match(text, /^shield s-1 .* 1\.3 ms +300 MB/m);
  assert.match(text, /^shield s-2 .* 1\.3 ms +100 MB/m);
  assert.match(text, /^brain b-1 .* shared +shared +shared /m);
  assert.match(text, /^total +2 processes +24,690 +7 .* 400 MB$/m);
  assert.match(text, /^brain b-1: one process with shield s-1$/m);
  const before = reading(0, ...nodes);
  const now = reading(1_000, ...nodes.map((node) => ({ ...node, cpu_seconds: 10.5 })));
  assert.match(clusterTable(now, ratesOf(before, now)), /^total .* 100% +400 MB$/m);
  assert.ok(!clusterTable(reading(1, shield())).includes("total"), "one node has no sum");
});

Deno.test("nodes whose room classes differ are named; one that does not report them is not", () => {
  const having = (node_id: string, room_classes_hash?: number) => ({
    ...shield({ node_id, gauges: { room_classes_hash } }),
    kind: "brain",
  });
  const same = clusterTable(reading(1, having("b-1", 7), having("b-2", 7), having("b-3")));
  assert.ok(!same.includes("WARNING"));
  const text = clusterTable(reading(1, having("b-1", 7), having("b-2", 8), having("b-3", 8)));
  assert.match(text, /^WARNING: \[\[rooms\]\] .*: brain b-2, brain b-3 \| brain b-1$/m);
});

Deno.test("nodes that are incompatible with the others are named; the first release reports no version", () => {
  const having = (node_id: string, gauges: Record<string, number> = {}) =>
    shield({ node_id, gauges, version: "1.2" });
  const first = having("s-1");
  const next = having("s-2", { wire_version: 2, wire_oldest: 1 });
  assert.ok(!clusterTable(reading(1, first, next)).includes("WARNING"));
  const third = having("s-3", { wire_version: 3, wire_oldest: 2 });
  const text = clusterTable(reading(1, first, next, third));
  assert.match(text, /^WARNING: too old to run with the others: shield s-1 \(1\.2\)$/m);
});

Deno.test("members of another shape read as nothing", () => {
  const { nodes, silent } = readCluster({ nodes: [null, 7, { totals: 3 }], silent: "x" });
  assert.equal(nodes.length, 3);
  assert.deepEqual(silent, []);
  assert.equal(totalOf({ a: 1, b: "x", c: 2 }), 3);
  assert.equal(totalOf(undefined), 0);
  assert.equal(readCluster({}).nodes.length, 0);
});
