/** Histograms of several processes add up: counts are exact, quantiles have three digits. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Latencies, merged } from "./histogram.ts";

function exact(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

Deno.test("the sum of encoded histograms equals a single histogram", () => {
  const latency = fc.double({ min: 0.001, max: 100_000, noNaN: true });
  const parts = fc.array(fc.array(latency, { maxLength: 60 }), { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(parts, fc.double({ min: 0.01, max: 1, noNaN: true }), (parts, q) => {
    const all = parts.flat();
    const together = merged(parts.map((values) => {
      const latencies = new Latencies();
      for (const value of values) latencies.add(value);
      return latencies.encode();
    }));
    const figures = together.figures();
    assert.equal(figures.count, all.length);
    if (all.length === 0) return;
    const shares = [[figures.p50_ms, 0.5], [figures.p99_ms, 0.99], [together.quantile(q), q]];
    for (const [measured, share] of shares as [number, number][]) {
      const wanted = exact(all, share);
      assert.ok(Math.abs(measured - wanted) <= wanted * 0.002 + 0.002, `${measured} ${wanted}`);
    }
    assert.ok(Math.abs(figures.max_ms - Math.max(...all)) <= Math.max(...all) * 0.002 + 0.002);
  }));
});

Deno.test("a negative latency counts as 0, a latency above two minutes as two minutes", () => {
  const latencies = new Latencies();
  latencies.add(-3);
  latencies.add(1e9);
  const { count, p50_ms, max_ms } = latencies.figures();
  assert.equal(count, 2);
  assert.equal(p50_ms, 0);
  assert.ok(Math.abs(max_ms - 120_000) < 200);
});

Deno.test("no latency has no figures, and a reset histogram is empty", () => {
  const latencies = new Latencies();
  latencies.add(5);
  latencies.reset();
  assert.deepEqual(latencies.figures(), {
    count: 0,
    p50_ms: NaN,
    p90_ms: NaN,
    p99_ms: NaN,
    p999_ms: NaN,
    max_ms: NaN,
  });
});
