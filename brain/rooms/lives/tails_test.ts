/** Repeated last changes: when, for whom they are new, and how many. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { RoomEvent, WriteMark } from "../store/room_event.ts";
import { Tails } from "./change_publisher.ts";

const at = (room_id: string): RoomAddress => ({ tenant_id: "acme", room_id });
const mark: WriteMark = { epoch: "7", fence: 0, start: 0 };
const change = (version: number): RoomEvent => ({
  version,
  at_ms: 1,
  body: "{}",
  fence: undefined,
});

/** Tails with the test's clock; their messages are `room version age`. */
function testTails(rooms_max = 100) {
  const repeated: string[] = [];
  const world = { now_ms: 0, connected: true };
  const tails = new Tails({
    announcer: {
      event: ({ room_id }, { version }, _mark, _trace_id, again_ms) => {
        repeated.push(`${room_id} ${version} ${again_ms}`);
        return true;
      },
    },
    rooms_max,
    monotonic: () => world.now_ms,
    isConnected: () => world.connected,
  });
  return { tails, repeated, world, [Symbol.dispose]: () => tails.stop() };
}

Deno.test("a last change is repeated three times, with its delay", async () => {
  using test = testTails();
  const { tails, repeated, world } = test;
  tails.published(at("lobby"), change(4), mark);
  for (const now_ms of [2_000, 8_000, 30_000]) {
    const before = repeated.length;
    world.now_ms = now_ms;
    await until(`it is reported after ${now_ms} ms`, () => repeated.length > before);
  }
  assert.deepEqual(repeated, ["lobby 4 2000", "lobby 4 8000", "lobby 4 30000"]);
  // One repetition for each request, however late.
  world.now_ms = 500_000;
  tails.ask();
  await until("it is in the answers", () => repeated.length > 3);
  tails.published(at("hall"), change(1), mark);
  world.now_ms += 2_000;
  await until("the other one is reported", () => repeated.length > 4);
  assert.deepEqual(repeated.slice(3), ["lobby 4 500000", "hall 1 2000"]);
  world.now_ms = 600_001;
  await until("the old one is forgotten", () => tails.size === 1);
});

Deno.test("a newer change replaces the previous one", async () => {
  using test = testTails();
  test.tails.published(at("lobby"), change(4), mark);
  test.world.now_ms = 1_000;
  test.tails.published(at("lobby"), change(5), mark);
  test.world.now_ms = 3_000;
  await until("it is published", () => test.repeated.length > 0);
  assert.deepEqual(test.repeated, ["lobby 5 2000"]);
});

Deno.test("while the Spine is down nothing is sent, and afterwards it is", async () => {
  using test = testTails();
  test.world.connected = false;
  test.tails.published(at("lobby"), change(4), mark);
  test.world.now_ms = 9_000;
  // Two ticks.
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  assert.deepEqual(test.repeated, []);
  test.world.connected = true;
  await until("it is published", () => test.repeated.length > 0);
  assert.deepEqual(test.repeated, ["lobby 4 9000"]);
});

Deno.test("above the limit the oldest one is dropped", () => {
  using test = testTails(2);
  for (const room of ["a", "b", "c"]) test.tails.published(at(room), change(1), mark);
  assert.equal(test.tails.size, 2);
  using none = testTails(0);
  none.tails.published(at("a"), change(1), mark);
  assert.equal(none.tails.size, 0);
});
