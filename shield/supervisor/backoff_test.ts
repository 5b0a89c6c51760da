/** Pauses before a dead process is started again. */
import assert from "node:assert/strict";
import { BACKOFF, failuresAfter, pauseAfter } from "./backoff.ts";

Deno.test("pauses double from the first to the longest, and stay there", () => {
  const pauses = [1, 2, 3, 4, 5, 6, 7, 8, 1_000].map((failures) => pauseAfter(failures, BACKOFF));
  assert.deepEqual(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
});

Deno.test("a process that has served long enough begins anew, one that has not does not", () => {
  assert.equal(failuresAfter(7, 0, BACKOFF), 8);
  assert.equal(failuresAfter(7, BACKOFF.reset_ms - 1, BACKOFF), 8);
  assert.equal(failuresAfter(7, BACKOFF.reset_ms, BACKOFF), 1);
});
