/** The statistics of the benchmarks, compared with their definitions. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { median, percentile } from "./statistics.ts";

// Exact in binary, so that ranks do not depend on rounding.
const sixtyFourth = fc.integer({ min: 1, max: 64 }).map((part) => part / 64);
const latencies = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 });

Deno.test("a percentile is the least value with at least that fraction at or below it", () => {
  fc.assert(
    fc.property(latencies, sixtyFourth, (values, part) => {
      const sorted = Float64Array.from(values).sort();
      const found = percentile(sorted, part);
      const share = (limit: number) =>
        values.filter((value) => value <= limit).length / values.length;
      assert(values.includes(found) && share(found) >= part);
      for (const value of values) if (value < found) assert(share(value) < part);
    }),
  );
  assert(Number.isNaN(percentile(new Float64Array(0), 0.5)));
});

Deno.test("the median is in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 3);
});
