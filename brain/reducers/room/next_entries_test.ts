/** The order of timers and calls by arrival, and a clock that goes back. */
import assert from "node:assert/strict";
import type { RoomStanding } from "../thread/protocol.ts";
import { type ArrivedCall, takeNext } from "./next_entries.ts";

const random = (size_bytes: number) => new Uint8Array(size_bytes);
const callAt = (arrived_ms: number, id = ""): ArrivedCall => ({
  command: "do",
  data: new Uint8Array(),
  id,
  user_id: "ann",
  role: "user",
  claims: {},
  deadline_ms: Infinity,
  answer: () => {},
  arrived_ms,
});

/** The offset and time of a room, and its timers. */
const standingOf = (time_ms: number, timer_ms?: number, ...later_ms: number[]) => ({
  offset: 7,
  time_ms,
  next: timer_ms === undefined ? undefined : { key: "k", at_ms: timer_ms },
  later: later_ms.map((at_ms, at) => ({ key: `k${at}`, at_ms })),
} as unknown as RoomStanding);

/** Kinds, times and ids of what comes next. */
function nextOf(
  waiting: readonly ArrivedCall[],
  now_ms: number,
  standing: RoomStanding,
  timers_max = 10,
) {
  const taken = takeNext(waiting, { standing, now_ms, ahead_ms: 0, random, timers_max });
  return taken?.entries.map((entry) => [
    ...[entry.kind === "command" ? entry.id : entry.kind, entry.offset, entry.time_ms],
  ]);
}

Deno.test("turns are first come, first served", () => {
  const calls = [callAt(99, "a"), callAt(100, "b"), callAt(101, "c")];
  // A call precedes a timer that was not due when it came, in the room's time, too.
  assert.deepEqual(nextOf(calls, 200, standingOf(50, 100)), [["a", 8, 99]]);
  assert.deepEqual(nextOf(calls.slice(1), 200, standingOf(50, 100)), [["timer", 8, 200]]);
  assert.deepEqual(nextOf(calls, 200, standingOf(150, 100)), [["a", 8, 150]]);
  // A timer that is not due, or is another room's, delays nobody.
  const all = [["a", 8, 200], ["b", 9, 200], ["c", 10, 200]];
  assert.deepEqual(nextOf(calls, 200, standingOf(50, 201)), all);
  assert.deepEqual(nextOf(calls, 200, standingOf(50, 100), 0), all);
  assert.deepEqual(nextOf([], 200, standingOf(50, 100)), [["timer", 8, 200]]);
  assert.equal(nextOf([], 99.9, standingOf(50, 100)), undefined);
  // The clock went back; the room's time did not.
  assert.deepEqual(nextOf([], 10, standingOf(100, 100)), [["timer", 8, 100]]);
  assert.deepEqual(nextOf([callAt(10, "a")], 10, standingOf(100, 101)), [["a", 8, 100]]);
});

Deno.test("due timers run together, up to the limit, and none before an earlier call", () => {
  const timers = standingOf(50, 100, 100, 150, 201);
  const three = [["timer", 8, 200], ["timer", 9, 200], ["timer", 10, 200]];
  assert.deepEqual(nextOf([], 200, timers), three);
  assert.deepEqual(nextOf([], 200, timers, 2), three.slice(0, 2));
  assert.deepEqual(nextOf([callAt(140, "a")], 200, timers), three.slice(0, 2));
  assert.deepEqual(nextOf([callAt(100, "a")], 200, timers), three.slice(0, 2));
});
