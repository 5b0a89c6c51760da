/** The clock of spans compared with the two clocks that it combines. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { spanClock } from "./start.ts";

Deno.test("it is never further than 5 ms from the wall clock, however that is set", () => {
  const steps = fc.array(fc.tuple(fc.double({ min: 0, max: 50, noNaN: true }), fc.integer()));
  fc.assert(fc.property(steps, (all) => {
    let wall_ms = 1_000;
    let steady_ms = 7;
    const clock = spanClock(() => wall_ms, () => steady_ms);
    for (const [passed_ms, set_ms] of all) {
      steady_ms += passed_ms;
      wall_ms = Math.floor(wall_ms + passed_ms) + set_ms;
      assert.ok(Math.abs(clock() - wall_ms) <= 5.001, `${clock()} and ${wall_ms}`);
    }
  }));
});

Deno.test("between corrections it has the steps of the monotonic clock", () => {
  let steady_ms = 7;
  const clock = spanClock(() => 1_000, () => steady_ms);
  const before = clock();
  steady_ms += 0.125;
  assert.equal(clock() - before, 0.125);
});
