/** Quantiles of bucketed latencies are those of the sorted ones, to 5 %. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Histogram } from "./histogram.ts";

Deno.test("a quantile is that of the sorted latencies, at most 5 % above", () => {
  const latencies = fc.array(fc.double({ min: 0.02, max: 60_000, noNaN: true }), { minLength: 1 });
  fc.assert(fc.property(latencies, fc.double({ min: 0.01, max: 1, noNaN: true }), (all, share) => {
    const histogram = new Histogram();
    for (const latency_ms of all) histogram.add(latency_ms);
    const sorted = all.toSorted((one, other) => one - other);
    const exact = sorted[Math.max(1, Math.ceil(sorted.length * share)) - 1]!;
    const found = histogram.quantile(share);
    assert.ok(found >= exact * 0.999 && found <= exact * 1.051, `${found} for ${exact}`);
  }));
});

Deno.test("packed histograms add up to that of all latencies", () => {
  const [one, other, both] = [new Histogram(), new Histogram(), new Histogram()];
  for (let index = 1; index < 1_000; index++) {
    (index % 3 === 0 ? one : other).add(index);
    both.add(index);
  }
  const sum = new Histogram();
  sum.merge(one.pack());
  sum.merge(other.pack());
  assert.deepEqual(sum.pack(), both.pack());
  assert.equal(sum.count, 999);
  assert.ok(Number.isNaN(new Histogram().quantile(0.5)));
});
