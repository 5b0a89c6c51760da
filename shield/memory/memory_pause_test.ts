/** Pauses between polls: properties for any growth, and a process that obeys them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Pace, pauseFor } from "./memory_guard.ts";

const MB = 1_000_000;
const pace = fc.record({
  grown_bytes: fc.integer({ min: -500 * MB, max: 500 * MB }),
  took_ms: fc.integer({ min: 0, max: 5_000 }),
  left_ms: fc.integer({ min: -1_000, max: 5_000 }),
  left_bytes: fc.integer({ min: -500 * MB, max: 2_000 * MB }),
  longest_ms: fc.constantFrom(20, 200, Infinity),
});

Deno.test("a pause is never negative, never beyond the deadline, never longer than allowed", () => {
  fc.assert(fc.property(pace, (given: Pace) => {
    const pause_ms = pauseFor(given);
    assert(pause_ms >= 0 && pause_ms <= Math.max(0, given.left_ms) && pause_ms <= given.longest_ms);
  }));
});

Deno.test("without growth, and after the deadline, there is no pause", () => {
  fc.assert(fc.property(pace, (given: Pace) => {
    assert.equal(pauseFor({ ...given, grown_bytes: Math.min(0, given.grown_bytes) }), 0);
    assert.equal(pauseFor({ ...given, left_ms: Math.min(0, given.left_ms) }), 0);
  }));
});

Deno.test("more growth, and less memory left, never make it shorter", () => {
  fc.assert(fc.property(pace, fc.integer({ min: 0, max: 500 * MB }), (given: Pace, more) => {
    const pause_ms = pauseFor(given);
    assert(pauseFor({ ...given, grown_bytes: given.grown_bytes + more }) >= pause_ms);
    assert(pauseFor({ ...given, left_bytes: given.left_bytes - more }) >= pause_ms);
  }));
});

Deno.test("for any cost of a poll, memory exceeds its limit by less than two polls before the deadline", () => {
  const look = fc.record({
    grown_bytes: fc.integer({ min: 1, max: 300 * MB }),
    room_bytes: fc.integer({ min: 0, max: 1_000 * MB }),
    wait_ms: fc.integer({ min: 1, max: 3_000 }),
  });
  fc.assert(fc.property(look, ({ grown_bytes, room_bytes, wait_ms }) => {
    let now_ms = 0;
    let used_bytes = grown_bytes;
    let took_ms = 0;
    while (now_ms < wait_ms) {
      const left = { left_ms: wait_ms - now_ms, left_bytes: room_bytes - used_bytes };
      const pause_ms = pauseFor({ grown_bytes, took_ms, ...left, longest_ms: Infinity });
      took_ms = pause_ms + 1;
      now_ms += took_ms;
      used_bytes += grown_bytes;
    }
    const most_bytes = Math.max(room_bytes, grown_bytes) + 2 * grown_bytes;
    assert(used_bytes <= most_bytes, `${used_bytes} of ${room_bytes}`);
  }));
});
