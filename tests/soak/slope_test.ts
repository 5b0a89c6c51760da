/** The line through readings is the one that they lie on, whatever noise is added evenly. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { lineThrough } from "./slope.ts";

Deno.test("readings on a line give that line", () => {
  const number = fc.integer({ min: -1_000, max: 1_000 });
  fc.assert(fc.property(number, number, fc.integer({ min: 2, max: 50 }), (slope, start, count) => {
    const readings = Array.from({ length: count }, (_, at) => (
      { at_ms: at * 10, value: start + slope * at * 10 }
    ));
    const line = lineThrough(readings);
    assert.ok(Math.abs(line.slope - slope) < 1e-6);
    assert.ok(Math.abs(line.growth - slope * (count - 1) * 10) < 1e-3);
  }));
});

Deno.test("figures that go up and down around one value are flat", () => {
  const readings = Array.from({ length: 101 }, (_, at) => (
    { at_ms: at, value: 100 + (at % 2 === 0 ? 5 : -5) }
  ));
  assert.ok(Math.abs(lineThrough(readings).growth) < 0.5);
  assert.equal(lineThrough([{ at_ms: 3, value: 7 }]).slope, 0);
  assert.throws(() => lineThrough([]), RangeError);
});
