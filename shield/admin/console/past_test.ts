/** The minutes before the page was opened, from the samples of the processes, and gaps that they close. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { readingsOf } from "./past.js";
import { createHistory } from "./rates.js";

const NOW_MS = 1_767_323_045_000;
const SPAN_MS = 300_000;
const EVERY_MS = 5_000;

interface SampleOf {
  age_ms: number;
  uptime_ms: number;
  ingress_messages?: number;
  rejects?: Record<string, number>;
}

const sample = ({ age_ms, uptime_ms, ...more }: SampleOf) => ({
  age_ms,
  uptime_ms,
  cpu_seconds: uptime_ms / 4_000,
  rss_bytes: 100,
  event_loop_lag_ms: uptime_ms / 1_000,
  connections: 7,
  ...more,
});

/** A node that receives this many messages a second, with a newest sample of that age. */
function nodeOf(node_id: string, per_second: number, newest_ms: number, length = 61) {
  const samples = Array.from({ length }, (_, at) => {
    const age_ms = newest_ms + (length - 1 - at) * EVERY_MS;
    const uptime_ms = 900_000 - age_ms;
    return sample({ age_ms, uptime_ms, ingress_messages: per_second * uptime_ms / 1_000 });
  });
  return { kind: "shield", node_id, process_id: node_id, started_ms: 1, samples };
}

const restored = (...nodes: ReturnType<typeof nodeOf>[]) => {
  const history = createHistory({ span_ms: SPAN_MS, points_max: 400 });
  history.restore(readingsOf({ nodes, every_ms: EVERY_MS }, NOW_MS, SPAN_MS), NOW_MS);
  return history;
};

Deno.test("nodes whose samples have different times are summed at common times", () => {
  const { points } = restored(nodeOf("a", 100, 400), nodeOf("b", 50, 3_900));
  assert.equal(points.length, 60);
  assert.equal(points.at(-1).at_ms, NOW_MS - 3_900, "the newest time that all samples cover");
  assert.equal(points[0].ingress, undefined, "the first point has no previous one");
  for (const { ingress, connections } of points.slice(1)) {
    assert.ok(Math.abs(ingress - 150) < 1e-6, String(ingress));
    assert.equal(connections, 14);
  }
});

Deno.test("the first live reading continues without a jump", () => {
  const history = restored(nodeOf("a", 100, 1_234));
  const now = { ...sample({ age_ms: 0, uptime_ms: 900_000 }), kind: "shield", node_id: "a" };
  const totals = { ingress_messages: 90_000 };
  const node = { ...now, process_id: "a", started_ms: 1, totals, gauges: { connections: 7 } };
  const point = history.add([node], NOW_MS);
  assert.ok(Math.abs(point.ingress - 100) < 1e-6, String(point.ingress));
  assert.ok(Math.abs(point.nodes.get("a")!.cpu! - 0.25) < 1e-9);
});

Deno.test("a node that started later, or is stuck, does not delay the others", () => {
  const late = nodeOf("late", 10, 0, 3);
  const stuck = nodeOf("stuck", 10, 60_000);
  const none = { ...nodeOf("none", 0, 0), samples: [] };
  const { points } = restored(nodeOf("a", 100, 0), late, stuck, none);
  assert.equal(points.at(-1).at_ms, NOW_MS);
  assert.deepEqual([...points.at(-1).nodes.keys()], ["a", "late"]);
  assert.equal(points[0].nodes.has("late"), false);
  assert.equal(points[0].nodes.has("stuck"), true);
});

Deno.test("two nodes of one process never count as two processes", () => {
  const shield = { ...nodeOf("shield", 100, 0, 20), process_id: "p" };
  const brain = { ...nodeOf("brain", 0, 700, 30), process_id: "p", kind: "brain" };
  const { points } = restored(shield, brain);
  const names = new Set(points.flatMap(({ processes }: { processes: Map<string, unknown> }) => [
    ...processes.keys(),
  ]));
  assert.deepEqual([...names], ["shield + brain"]);
  assert.equal(points.length, 19);
});

Deno.test("a reason that appears later grows from 0", () => {
  const samples = [
    sample({ age_ms: 10_000, uptime_ms: 1_000, rejects: {} }),
    sample({ age_ms: 5_000, uptime_ms: 6_000, rejects: { banned: 10 } }),
    sample({ age_ms: 0, uptime_ms: 11_000, rejects: { banned: 10 } }),
  ];
  const { points } = restored({ ...nodeOf("a", 0, 0), samples });
  assert.deepEqual(
    points.map(({ rejects }: { rejects: Map<string, number> }) => rejects.get("banned")),
    [undefined, 2, 0],
  );
});

Deno.test("whatever the samples are, readings are in order, within the span, and no older than a sample", () => {
  const ages = fc.uniqueArray(fc.nat(400_000), { maxLength: 61 })
    .map((all) => all.toSorted((a, b) => b - a));
  fc.assert(fc.property(fc.array(ages, { maxLength: 4 }), (all) => {
    const nodes = all.map((ages, at) => ({
      ...nodeOf(String(at), 0, 0, 0),
      samples: ages.map((age_ms) => sample({ age_ms, uptime_ms: 500_000 - age_ms })),
    }));
    const readings = readingsOf({ nodes, every_ms: EVERY_MS }, NOW_MS, SPAN_MS);
    const times = readings.map(({ at_ms }: { at_ms: number }) => at_ms);
    assert.deepEqual(times, times.toSorted((a: number, b: number) => a - b));
    const oldest = Math.max(0, ...all.flat());
    for (const { at_ms, nodes } of readings) {
      assert.ok(at_ms <= NOW_MS && at_ms >= NOW_MS - Math.min(SPAN_MS, oldest));
      for (const { uptime_ms } of nodes) {
        assert.ok(Math.abs(500_000 - uptime_ms - (NOW_MS - at_ms)) < 1e-3);
      }
    }
  }));
});

Deno.test("samples close a gap that they cover; other gaps stay", () => {
  const live = (at_ms: number) => ({
    kind: "shield",
    node_id: "a",
    process_id: "a",
    started_ms: 1,
    ...sample({ age_ms: 0, uptime_ms: 900_000 - (NOW_MS - at_ms) }),
    totals: { ingress_messages: (900_000 - (NOW_MS - at_ms)) / 10 },
    gauges: { connections: 7 },
  });
  const history = createHistory({ span_ms: SPAN_MS, points_max: 400 });
  for (const ago_ms of [102_000, 100_000]) history.add([live(NOW_MS - ago_ms)], NOW_MS - ago_ms);
  history.gap(NOW_MS - 99_000);
  const readings = (nodes: unknown[]) => readingsOf({ nodes, every_ms: EVERY_MS }, NOW_MS, SPAN_MS);
  history.restore(readings([nodeOf("a", 100, 0, 3)]), NOW_MS);
  assert.equal(history.points[2].is_gap, true, "started ten seconds ago: 90 s are unknown");
  assert.equal(history.points.length, 6);
  history.gap(NOW_MS + 1_000);
  history.restore(readings([]), NOW_MS + 3_000);
  assert.equal(history.points.length, 6, "with known totals, three seconds are not a gap");

  const whole = createHistory({ span_ms: SPAN_MS, points_max: 400 });
  whole.add([live(NOW_MS - 100_000)], NOW_MS - 100_000);
  whole.gap(NOW_MS - 99_000);
  whole.restore(readings([nodeOf("a", 100, 0)]), NOW_MS);
  assert.ok(whole.points.every(({ is_gap }: { is_gap?: boolean }) => is_gap !== true));
  for (const { ingress } of whole.points.slice(1)) assert.ok(Math.abs(ingress - 100) < 1e-6);
});
