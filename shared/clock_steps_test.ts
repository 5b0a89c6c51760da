/** Detects when a wall clock was last set, compared with a monotonic clock. */
import assert from "node:assert/strict";
import { ClockSteps } from "./clock_steps.ts";

const HOUR_MS = 3_600_000;

function clocks() {
  const clock = { wall_ms: 1_700_000_000_000, monotonic_ms: 40 };
  const steps = new ClockSteps({
    now: () => clock.wall_ms,
    monotonic_ms: () => clock.monotonic_ms,
  });
  const pass = (ms: number, drift_ms = 0) => {
    clock.monotonic_ms += ms;
    clock.wall_ms += ms + drift_ms;
  };
  return { clock, steps, pass };
}

Deno.test("a clock that is not set is stable since the beginning, also if NTP corrects it slowly", () => {
  const { steps, pass } = clocks();
  assert.equal(steps.quietMs(), 0);
  for (let minute = 1; minute <= 600; minute++) {
    pass(60_000, 30);
    assert.equal(steps.quietMs(), minute * 60_000);
  }
});

Deno.test("a step in either direction restarts the stable time", () => {
  for (const step_ms of [HOUR_MS, -HOUR_MS, 2_000, -2_000]) {
    const { clock, steps, pass } = clocks();
    pass(HOUR_MS);
    assert.equal(steps.quietMs(), HOUR_MS);
    clock.wall_ms += step_ms;
    assert.equal(steps.quietMs(), 0);
    pass(1_000);
    assert.equal(steps.quietMs(), 1_000);
    clock.wall_ms -= step_ms;
    pass(5);
    assert.equal(steps.quietMs(), 0);
  }
});
