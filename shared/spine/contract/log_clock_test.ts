/** The clock of the embedded log under wall clocks that jump. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { LogClock, steadyMs } from "./log_clock.ts";

const HOUR_MS = 3_600_000;

function clockOf(wall: { ms: number }, passed: { ms: number }, at_least_ms = 0): LogClock {
  return new LogClock({ now: () => wall.ms, monotonic_ms: () => passed.ms }, at_least_ms);
}

Deno.test("it runs with the wall clock and not before the newest message", () => {
  const wall = { ms: 1_000 };
  const passed = { ms: 50 };
  const clock = clockOf(wall, passed);
  assert.equal(clock.now(), 1_000);
  wall.ms += 500;
  passed.ms += 500;
  assert.equal(clock.now(), 1_500);
  assert.equal(clockOf(wall, passed, 9_000).now(), 9_000);
});

Deno.test("a jump of the wall clock is worked off by a tenth of the time that passes", () => {
  for (const sign of [1, -1]) {
    const wall = { ms: 100 * HOUR_MS };
    const passed = { ms: 0 };
    const clock = clockOf(wall, passed);
    wall.ms += sign * HOUR_MS;
    assert.equal(clock.now(), 100 * HOUR_MS, "nothing at once");
    passed.ms += HOUR_MS;
    wall.ms += HOUR_MS;
    assert.equal(clock.now(), 101 * HOUR_MS + sign * HOUR_MS / 10);
    passed.ms += 20 * HOUR_MS;
    wall.ms += 20 * HOUR_MS;
    assert.equal(clock.now(), wall.ms, "in the end they agree");
  }
});

Deno.test("steady ms: each ms of the wall clock is looked at once, whatever it jumps to", () => {
  const wall = { ms: 1_000 };
  const passed = { ms: 0 };
  let looks = 0;
  const now = steadyMs({ now: () => wall.ms, monotonic_ms: () => (looks++, passed.ms) });
  assert.equal(now(), 1_000);
  const at_first = looks;
  passed.ms += 0.5;
  assert.deepEqual([now(), now(), looks], [1_000, 1_000, at_first]);
  wall.ms += HOUR_MS;
  passed.ms += 1_000;
  assert.equal(now(), 2_100, "a second, and a tenth of it towards the wall clock");
  wall.ms -= 2 * HOUR_MS;
  passed.ms += 1_000;
  assert.equal(now(), 3_000);
});

Deno.test("it never goes back, whatever the wall clock does", () => {
  const step = fc.record({
    passed_ms: fc.nat(10_000),
    jump_ms: fc.integer({ min: -1e9, max: 1e9 }),
  });
  fc.assert(fc.property(fc.array(step), (steps) => {
    const wall = { ms: 1e12 };
    const passed = { ms: 0 };
    const clock = clockOf(wall, passed);
    let last_ms = clock.now();
    for (const { passed_ms, jump_ms } of steps) {
      passed.ms += passed_ms;
      wall.ms += jump_ms;
      const next_ms = clock.now();
      const advance_ms = next_ms - last_ms;
      assert.ok(advance_ms >= 0.9 * passed_ms - 1 && advance_ms <= 1.1 * passed_ms + 1);
      last_ms = next_ms;
    }
  }));
});
