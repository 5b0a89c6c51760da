/** Who counts as slow, and for how long. Pure. */
import assert from "node:assert/strict";
import { createPace } from "./pace.ts";

Deno.test("a burst of long chains makes slow, until they are forgotten", () => {
  const pace = createPace();
  for (let time = 0; time < 8; time++) pace.long("a", 0);
  assert.equal(pace.isSlow("a", 0), false);
  pace.long("a", 0);
  assert.equal(pace.isSlow("a", 0), true);
  assert.equal(pace.isSlow("b", 0), false);
  assert.equal(pace.isSlow("a", 30_000), true, "no coming and going at the limit");
  assert.equal(pace.isSlow("a", 41_000), false);
});

Deno.test("it ends in time for any number", () => {
  const pace = createPace();
  for (let time = 0; time < 100_000; time++) pace.long("a", 0);
  assert.equal(pace.isSlow("a", 74_000), true);
  assert.equal(pace.isSlow("a", 76_000), false);
});

Deno.test("one long chain now and then makes no tenant slow", () => {
  const pace = createPace();
  for (let now_ms = 0; now_ms < 3_600_000; now_ms += 5_001) {
    pace.long("a", now_ms);
    assert.equal(pace.isSlow("a", now_ms), false);
  }
});

Deno.test("a clock that goes back, and more tenants than are remembered, break nothing", () => {
  const pace = createPace();
  for (let time = 0; time < 9; time++) pace.long("a", 1_000_000 - time);
  assert.equal(pace.isSlow("a", 0), true);
  for (let tenant = 0; tenant < 10_000; tenant++) pace.long(`t${tenant}`, 1_000_000);
  assert.equal(pace.isSlow("t9999", 1_000_000), false);
});
