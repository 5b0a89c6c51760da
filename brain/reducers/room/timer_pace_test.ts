/** The rate limit of a room's timers. Pure: time is a number here. */
import assert from "node:assert/strict";
import { TimerPace, TIMERS_IN_GROUP, TIMERS_PER_SECOND } from "./left_timers.ts";

Deno.test("timers run as often as one may that sets itself, after a pause twice as many at once", () => {
  let now_ms = 5_000;
  const pace = new TimerPace(now_ms);
  const burst = () => {
    let ran = 0;
    for (; pace.wait(now_ms) === 0; ran++) pace.take(now_ms, 1);
    return ran;
  };
  assert.equal(burst(), 2 * TIMERS_PER_SECOND);
  for (let second = 0; second < 3; second++) {
    let ran = 0;
    for (const end_ms = now_ms + 1_000; now_ms < end_ms; now_ms++) ran += burst();
    // Waiting timers run in groups, and one group may end just after the second.
    assert.ok(Math.abs(ran - TIMERS_PER_SECOND) <= TIMERS_IN_GROUP, String(ran));
  }
  now_ms += 3_600_000;
  assert.equal(burst(), 2 * TIMERS_PER_SECOND);
});
