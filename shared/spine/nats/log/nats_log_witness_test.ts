/** How long a connected but silent witness is asked again. `nats_log_lives_test.ts` has the effect on a real NATS. */
import assert from "node:assert/strict";
import { Silences } from "./nats_log_lives.ts";

const TAIL = { life: "one", given: 3, offset: 3, time: "2026-01-01T00:00:00Z" };

Deno.test("a silent listener is asked again until a time limit", () => {
  const silences = new Silences(1_000);
  const asked = [400, 400, 199, 1, 1].map((ask_ms) => silences.goOn("a", "silence", ask_ms));
  assert.deepEqual(asked, [true, true, true, false, false]);
  assert.equal(silences.goOn("b", "silence", 400), true, "another stream has its own time");
});

Deno.test("without witnesses there is no wait, and any answer ends a wait", () => {
  for (const answer of ["nobody", TAIL] as const) {
    const silences = new Silences(1_000);
    assert.equal(silences.goOn("a", "silence", 900), true);
    assert.equal(silences.goOn("a", answer, 900), false);
    assert.equal(silences.goOn("a", "silence", 900), true, "it counts anew");
  }
});

Deno.test("a query from before a stream was settled does not count", () => {
  const silences = new Silences(1_000);
  assert.equal(silences.goOn("a", "silence", 900), true);
  silences.forget("a");
  assert.equal(silences.goOn("a", "silence", 900), true);
});
