/** Rates between readings of the cluster, and scales of charts. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { nodeRows } from "./node_columns.js";
import { createHistory, largestSeries, roundUp } from "./rates.js";

interface Reading {
  process?: string;
  id?: string;
  kind?: "shield" | "brain";
  started_ms?: number;
  uptime_ms: number;
  ingress?: number;
  connections?: number;
  rejects?: Record<string, number>;
}

const node = (
  { id = "a", kind = "shield", started_ms = 1, uptime_ms, process, ...figures }: Reading,
) => ({
  kind,
  process_id: process ?? id,
  node_id: id,
  started_ms,
  uptime_ms,
  event_loop_lag_ms: 2,
  rss_bytes: 100,
  cpu_seconds: uptime_ms / 2_000,
  totals: { ingress_messages: figures.ingress ?? 0, rejects: figures.rejects ?? {} },
  gauges: { connections: figures.connections ?? 0 },
});

const history = (points_max = 100) => createHistory({ span_ms: 300_000, points_max });

Deno.test("a rate is growth over the node's own clock", () => {
  const past = history();
  assert.equal(past.add([node({ uptime_ms: 10_000, ingress: 100 })], 0).ingress, undefined);
  // A late answer does not matter: the node's uptime counts.
  const point = past.add([node({ uptime_ms: 12_000, ingress: 500 })], 9_000);
  assert.equal(point.ingress, 200);
  assert.equal(point.nodes.get("a")!.cpu, 0.5);
});

Deno.test("rates and gauges add up over the Shields and leave Brains out", () => {
  const past = history();
  const reading = (uptime_ms: number, ingress: number) => [
    node({ id: "a", uptime_ms, ingress, connections: 3 }),
    node({ id: "b", uptime_ms, ingress: 2 * ingress, connections: 4 }),
    node({ id: "c", kind: "brain", uptime_ms, ingress: 99 * ingress, connections: 50 }),
  ];
  past.add(reading(1_000, 0), 0);
  const point = past.add(reading(2_000, 10), 1_000);
  assert.equal(point.connections, 7);
  assert.equal(point.ingress, 30);
});

Deno.test("a process that is both Shield and Brain counts once", () => {
  const past = history();
  const reading = (uptime_ms: number) => [
    node({ id: "b", kind: "brain", process: "p", uptime_ms }),
    node({ id: "a", process: "p", uptime_ms }),
    node({ id: "c", process: "q", uptime_ms }),
    node({ id: "d", uptime_ms }),
  ];
  past.add(reading(1_000), 0);
  const { processes } = past.add(reading(2_000), 1_000);
  assert.deepEqual([...processes.keys()], ["a + b", "c", "d"]);
  const memory = [...processes.values()].reduce((sum, { rss }: { rss: number }) => sum + rss, 0);
  assert.equal(memory, 300);
  assert.equal(processes.get("a + b")?.cpu, 0.5);
  type Row = { node: { node_id: string }; first?: string };
  const rows: Row[] = nodeRows({ nodes: reading(2_000) }, past);
  assert.equal(
    rows.map(({ node, first = "-" }) => `${node.node_id} ${first}`).join(),
    "a -,b a,c -,d -",
  );
});

Deno.test("a restarted node has no rate until its second reading", () => {
  const past = history();
  past.add([node({ uptime_ms: 90_000, ingress: 5_000 })], 0);
  const anew = { started_ms: 95_000, uptime_ms: 500, ingress: 10 };
  assert.equal(past.add([node(anew)], 2_000).ingress, undefined);
  const next = past.add([node({ ...anew, uptime_ms: 1_500, ingress: 30 })], 3_000);
  assert.equal(next.ingress, 20);
});

Deno.test("after a gap rates start again, and successive gaps count as one", () => {
  const past = history();
  past.add([node({ uptime_ms: 1_000 })], 0);
  past.gap(1_000);
  past.gap(2_000);
  assert.equal(past.points.filter(({ is_gap }: { is_gap?: boolean }) => is_gap).length, 1);
  assert.equal(past.add([node({ uptime_ms: 5_000, ingress: 9 })], 4_000).ingress, undefined);
});

Deno.test("a reason that appears counts from 0", () => {
  const past = history();
  past.add([node({ uptime_ms: 1_000 })], 0);
  const point = past.add([node({ uptime_ms: 3_000, rejects: { "rate-limited": 4 } })], 2_000);
  assert.equal(point.rejects.get("rate-limited"), 2);
  assert.equal(point.rejects_total, 2);
});

Deno.test("the history is bounded by points and by time", () => {
  const past = history(3);
  for (let i = 0; i < 10; i++) past.add([node({ uptime_ms: i * 1_000 })], i * 1_000);
  assert.deepEqual(past.points.map(({ at_ms }: { at_ms: number }) => at_ms), [7_000, 8_000, 9_000]);
  past.add([node({ uptime_ms: 999_000 })], 999_000);
  assert.equal(past.points.length, 1);
});

Deno.test("the largest series at the last reading are ordered by name, and the others counted", () => {
  const values: Record<string, number> = { a: 1, b: 5, c: 9 };
  const points = [{ nodes: new Map(Object.entries(values)) }];
  const nodesOf = ({ nodes }: typeof points[number]) => nodes;
  const { series, hidden } = largestSeries(points, nodesOf, (value: number) => value, 2);
  assert.deepEqual(series, [{ name: "b", values: [5] }, { name: "c", values: [9] }]);
  assert.equal(hidden, 1);
});

Deno.test("the top of a scale is round, never below the figure and never far above it", () => {
  const tops = [0, 3, 12, 99, 1_000, 1_001].map((value) => roundUp(value));
  assert.deepEqual(tops, [1, 4, 20, 100, 1_000, 2_000]);
  assert.equal(roundUp(170 * 1_048_576, 1_024), 200 * 1_048_576);
  fc.assert(fc.property(
    fc.double({ min: 1e-3, max: 1e15, noNaN: true }),
    fc.constantFrom(1_000, 1_024),
    (value, base) => {
      const top = roundUp(value, base);
      return top >= value * (1 - 1e-9) && top <= value * 2.1;
    },
  ));
});
