/** Fits, the order of steps, and the table; what is measured is not tested here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { growthOf, orderOf, renderGrowth, slopeOf, type StepCost } from "./scaling.ts";

const cost = (step: number, cpu_us: number): StepCost => ({
  step,
  cpu_us,
  rounds_us: [cpu_us - 1, cpu_us, cpu_us + 2],
  p50_ms: 0.5,
  p99_ms: 2,
  rss_bytes: 100e6,
  missing: 0,
});

Deno.test("the exponent of a power law is found, whatever its factor", () => {
  const factor = fc.double({ min: 0.1, max: 1_000, noNaN: true });
  const exponent = fc.double({ min: -1, max: 2, noNaN: true });
  fc.assert(fc.property(factor, exponent, (times, power) => {
    const points = [1, 10, 100, 1_000].map((step) => ({ step, cpu_us: times * step ** power }));
    assert.ok(Math.abs(slopeOf(points) - power) < 1e-6);
  }));
});

Deno.test("a step of 0 has no place in a log-log fit, and one point has no slope", () => {
  const points = [{ step: 0, cpu_us: 900 }, { step: 1, cpu_us: 10 }, { step: 10, cpu_us: 100 }];
  assert.equal(slopeOf(points).toFixed(6), "1.000000");
  assert.ok(Number.isNaN(slopeOf(points.slice(0, 2))));
});

Deno.test("growth is the largest step over the cheapest, which need not be the first", () => {
  assert.equal(growthOf([cost(1, 20), cost(10, 10), cost(100, 15)]), 1.5);
});

Deno.test("rounds go up and down, but up only where steps cannot be taken back", () => {
  assert.deepEqual(orderOf([1, 2], 3, false), [1, 2, 2, 1, 1, 2]);
  assert.deepEqual(orderOf([1, 2], 3, true), [1, 1, 1, 2, 2, 2]);
});

Deno.test("the table has a line for each law", () => {
  const law = { name: "rooms", axis: "rooms", about: "more", steps: [cost(10, 20), cost(100, 30)] };
  assert.match(renderGrowth([law]), /^rooms +10 +100 +1\.50x +0\.176$/m);
});
