/** Pauses before a dead process is started again. */
import assert from "node:assert/strict";
import { BACKOFF, failuresAfter, pauseAfter } from "./slot.ts";

Deno.test("pauses double from the first to the longest, stay there, and half of each is random", () => {
  const pauses = (random: number) =>
    [1, 2, 3, 4, 5, 6, 7, 8, 1_000].map((failures) => pauseAfter(failures, BACKOFF, () => random));
  assert.deepEqual(pauses(0), [125, 250, 500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500]);
  assert.deepEqual(pauses(0.5), [188, 375, 750, 1_500, 3_000, 6_000, 11_250, 11_250, 11_250]);
});

Deno.test("after a process has served long enough, the pauses start again; otherwise they do not", () => {
  assert.equal(failuresAfter(7, 0, BACKOFF), 8);
  assert.equal(failuresAfter(7, BACKOFF.reset_ms - 1, BACKOFF), 8);
  assert.equal(failuresAfter(7, BACKOFF.reset_ms, BACKOFF), 1);
});
