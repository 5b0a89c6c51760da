/**
 * When a breaker opens, lets one through and closes. Pure: time is a number here.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { breakerAllows, breakerFailure, createBreaker, createBreakers } from "./breaker.ts";

const LIMITS = { failures: 3, cool_down_ms: 1_000 };

Deno.test("a breaker lets everything through until as many failures in a row as it takes", () => {
  fc.assert(fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (failed) => {
    const breakers = createBreakers(LIMITS);
    let in_a_row = 0;
    for (const fails of failed) {
      if (!breakers.allows("t", "m", 0)) break;
      if (fails) {
        in_a_row++;
        assert.equal(breakers.failure("t", "m", 0), in_a_row === LIMITS.failures);
      } else {
        in_a_row = 0;
        breakers.success("t", "m");
      }
      assert.equal(breakers.allows("t", "m", 0), in_a_row < LIMITS.failures);
    }
  }));
});

Deno.test("an open breaker lets one attempt through in each cool-down", () => {
  const wait = fc.integer({ min: 0, max: 700 });
  fc.assert(fc.property(fc.array(wait, { maxLength: 100 }), (waits) => {
    const breaker = createBreaker();
    for (let time = 0; time < 3; time++) breakerFailure(breaker, LIMITS, 0);
    let now_ms = 0;
    let last_ms = 0;
    for (const wait_ms of waits) {
      now_ms += wait_ms;
      const due = now_ms - last_ms >= LIMITS.cool_down_ms;
      assert.equal(breakerAllows(breaker, LIMITS, now_ms), due);
      if (due) last_ms = now_ms;
    }
  }));
});

Deno.test("an attempt that succeeds closes it, one that fails opens it again", () => {
  const breakers = createBreakers(LIMITS);
  const fails = (now_ms: number) => breakers.failure("t", "m", now_ms);
  const allows = (now_ms: number) => breakers.allows("t", "m", now_ms);
  for (let time = 0; time < 3; time++) fails(0);
  assert.equal(allows(1_000), true);
  assert.equal(fails(1_500), false);
  assert.equal(allows(2_400), false);
  assert.equal(allows(2_500), true);
  breakers.success("t", "m");
  assert.equal(allows(2_501), true);
  assert.equal(fails(2_502), false);
});

Deno.test("breakers are each tenant's and module's own, and bounded", () => {
  const breakers = createBreakers({ failures: 1, cool_down_ms: 10 }, 2);
  assert.equal(breakers.failure("a", "m", 0), true);
  assert.equal(breakers.allows("a", "m", 1), false);
  assert.equal(breakers.allows("b", "m", 1), true);
  assert.equal(breakers.allows("a", "n", 1), true);
  breakers.failure("a", "n", 1);
  assert.deepEqual(breakers.open(), [
    { tenant_id: "a", sha256: "m" },
    { tenant_id: "a", sha256: "n" },
  ]);
  breakers.failure("b", "m", 1);
  assert.equal(breakers.allows("a", "m", 2), true);
  breakers.success("a", "n");
  breakers.forget("m");
  assert.deepEqual(breakers.open(), []);
});

Deno.test("limits that change count from the next failure on, and for the next pause", () => {
  const limits = { failures: 10, cool_down_ms: 1_000 };
  const breakers = createBreakers(limits);
  assert.equal(breakers.failure("acme", "m", 0), false);
  Object.assign(limits, { failures: 2, cool_down_ms: 5 });
  assert.equal(breakers.failure("acme", "m", 0), true);
  assert.deepEqual([breakers.allows("acme", "m", 4), breakers.allows("acme", "m", 5)], [
    false,
    true,
  ]);
});
