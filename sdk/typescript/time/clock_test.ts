// The Shield's clock over jumps of the device's own.
import assert from "node:assert/strict";
import { serverClock } from "./clock.ts";

Deno.test("the Shield's clock advances by the elapsed time, whatever the device's clock is", () => {
  let own_ms = 1_000, elapsed_ms = 50;
  const clock = serverClock(() => own_ms, () => elapsed_ms);
  assert.equal(clock.now(), 1_000);
  clock.set(700_000);
  for (const jump_ms of [3_600_000, -86_400_000, 0]) {
    own_ms += jump_ms;
    elapsed_ms += 10;
    assert.equal(clock.now(), 700_000 + elapsed_ms - 50);
  }
  clock.set(5);
  assert.equal(clock.now(), 5);
});
