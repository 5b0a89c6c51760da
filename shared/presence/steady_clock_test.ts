/** A steady clock against one that is corrected in both directions. */
import assert from "node:assert/strict";
import { steadyClock } from "./steady_clock.ts";

Deno.test("a steady clock stands where the other goes back, goes on from there, and follows forward", () => {
  const times_ms = [1_000, 1_010, 400, 410, 410, 2_000, 100, 150];
  const steady = steadyClock(() => times_ms.shift()!);
  const read = Array.from({ length: times_ms.length }, steady);
  assert.deepEqual(read, [1_000, 1_010, 1_010, 1_020, 1_020, 2_610, 2_610, 2_660]);
});
