/** Figures that a process reads of itself: quantiles between readings, sums by label. */
import assert from "node:assert/strict";
import { QuantileReader, totalOf } from "./cluster_node.ts";
import { Counter, Histogram, Registry } from "../metrics/metrics.ts";

Deno.test("a quantile covers the time since the previous reading", async () => {
  const registry = new Registry();
  const registers = [registry];
  const buckets = [0.001, 0.01, 0.1];
  const lag = new Histogram({ name: "lag_seconds", help: "h", buckets, registers });
  let now_ms = 0;
  const reader = new QuantileReader(registry, "lag_seconds", () => now_ms);
  assert.equal(await reader.read_ms(), undefined);
  for (let index = 0; index < 99; index++) lag.observe(0.0005);
  lag.observe(0.05);
  assert.equal(await reader.read_ms(), undefined, "so soon it says the same");
  now_ms += 1_000;
  assert.equal(await reader.read_ms(), 1);
  for (let index = 0; index < 10; index++) lag.observe(0.05);
  now_ms += 1_000;
  assert.equal(await reader.read_ms(), 100);
  lag.observe(5);
  now_ms += 1_000;
  assert.equal(await reader.read_ms(), 100, "beyond the last bound it says that bound");
  now_ms += 1_000;
  assert.equal(await reader.read_ms(), undefined, "nothing came");
  assert.equal(await new QuantileReader(registry, "none", () => 0).read_ms(), undefined);
});

Deno.test("totals are summed over the requested labels", async () => {
  const registry = new Registry();
  const registers = [registry];
  const counter = new Counter({ name: "c_total", help: "h", labelNames: ["a", "b"], registers });
  counter.inc({ a: "x", b: "1" }, 2);
  counter.inc({ a: "x", b: "2" }, 3);
  counter.inc({ a: "y", b: "2" }, 5);
  assert.equal(await totalOf(registry, "c_total"), 10);
  assert.equal(await totalOf(registry, "c_total", { a: "x" }), 5);
  assert.equal(await totalOf(registry, "c_total", { a: "z" }), 0);
  assert.equal(await totalOf(registry, "none"), 0);
});
