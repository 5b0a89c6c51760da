// The bounds of the wait; that the connection waits: `sdk/conformance/scenarios/closes.json`.
import assert from "node:assert/strict";
import fc from "fast-check";
import { backoffDelay, DEFAULT_BACKOFF } from "./clock.ts";

Deno.test("a wait lies between 0 and the doubled ceiling and never above the maximum", () => {
  fc.assert(fc.property(
    fc.nat({ max: 10_000 }),
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    (attempt, draw) => {
      const delay_ms = backoffDelay(attempt, DEFAULT_BACKOFF, () => draw);
      assert.ok(delay_ms >= 0);
      assert.ok(delay_ms < DEFAULT_BACKOFF.max_ms);
      assert.ok(delay_ms <= DEFAULT_BACKOFF.base_ms * 2 ** attempt);
    },
  ));
});
