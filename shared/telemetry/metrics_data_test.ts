/** A registry in the form of OpenTelemetry's exporters, compared with its page. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { AggregationTemporality, DataPointType } from "@opentelemetry/sdk-metrics";
import { Counter, Gauge, Histogram, Registry } from "../metrics/metrics.ts";
import { metricsData, unitOf } from "./metrics_data.ts";

const SPAN = { start_ms: 1_700_000_000_123, end_ms: 1_700_000_015_000.5 };

Deno.test("counters are monotonic sums and gauges gauges, with their labels and times", async () => {
  const registry = new Registry();
  const registers = [registry];
  new Counter({ name: "ops", help: "Operations.", labelNames: ["op"], registers })
    .inc({ op: "publish" }, 3);
  new Gauge({ name: "queue_bytes", help: "Bytes.", registers }).set(-1.5);
  const [counter, gauge] = await metricsData(registry, SPAN);
  assert.ok(counter?.dataPointType === DataPointType.SUM);
  assert.equal(counter.isMonotonic, true);
  assert.equal(counter.aggregationTemporality, AggregationTemporality.CUMULATIVE);
  assert.deepEqual(counter.dataPoints, [{
    attributes: { op: "publish" },
    value: 3,
    startTime: [1_700_000_000, 123_000_000],
    endTime: [1_700_000_015, 500_000],
  }]);
  assert.ok(gauge?.dataPointType === DataPointType.GAUGE);
  assert.equal(gauge.dataPoints[0]?.value, -1.5);
  const { name, description, unit } = gauge.descriptor;
  assert.deepEqual([name, description, unit], ["queue_bytes", "Bytes.", "By"]);
});

Deno.test("a unit is set if and only if the name has it", () => {
  const names = [
    "a_seconds",
    "a_seconds_total",
    "a_bytes_total",
    "a_ratio",
    "policy_execution_duration",
  ];
  assert.deepEqual(names.map(unitOf), ["s", "s", "By", "1", ""]);
});

Deno.test("a histogram's buckets match its observations, for each label", async () => {
  const bounds = [0.1, 1, 10];
  const observation = fc.tuple(
    fc.constantFrom("a", "b"),
    fc.double({ min: 0, max: 20, noNaN: true }),
  );
  await fc.assert(fc.asyncProperty(fc.array(observation), async (observations) => {
    const registry = new Registry();
    const labelNames = ["module"];
    const histogram = new Histogram({
      name: "took_seconds",
      help: "h",
      labelNames,
      buckets: bounds,
      registers: [registry],
    });
    for (const [module, seconds] of observations) histogram.observe({ module }, seconds);
    const [metric] = await metricsData(registry, SPAN);
    assert.ok(metric?.dataPointType === DataPointType.HISTOGRAM);
    for (const { attributes, value } of metric.dataPoints) {
      const own = observations.filter(([module]) => module === attributes.module)
        .map(([, seconds]) => seconds);
      const within = (low: number, high: number) =>
        own.filter((seconds) => seconds > low && seconds <= high).length;
      assert.deepEqual(value.buckets, {
        boundaries: bounds,
        counts: [within(-1, 0.1), within(0.1, 1), within(1, 10), within(10, Infinity)],
      });
      assert.equal(value.count, own.length);
      assert.ok(Math.abs((value.sum ?? 0) - own.reduce((sum, one) => sum + one, 0)) < 1e-6);
    }
    assert.equal(metric.dataPoints.length, new Set(observations.map(([module]) => module)).size);
  }));
});

Deno.test("a family without series is exported without points", async () => {
  const registry = new Registry();
  new Counter({ name: "none_total", help: "h", labelNames: ["x"], registers: [registry] });
  const [metric] = await metricsData(registry, SPAN);
  assert.equal(metric?.descriptor.name, "none_total");
  assert.deepEqual(metric?.dataPoints, []);
});
