/** Rooms in doubt are checked until the doubt is resolved, within the bound. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import { Doubts } from "./doubts.ts";

const at = (room_id: string): RoomAddress => ({ tenant_id: "acme", room_id });

/** Doubts by a clock that the test moves. */
function testDoubts(rooms_max = 10) {
  const looks: string[] = [];
  const world = { now_ms: 0, fails: false, busy: false };
  const doubts = new Doubts({
    rooms_max,
    monotonic: () => world.now_ms,
    look: ({ room_id }) => {
      looks.push(room_id);
      return world.fails ? Promise.reject(new Error("no answer")) : Promise.resolve();
    },
    isBusy: () => world.busy,
  });
  return { doubts, looks, world, [Symbol.asyncDispose]: () => doubts.stop() };
}

Deno.test("a room is looked at until a look succeeds, and not while others work in it", async () => {
  await using test = testDoubts();
  const { doubts, looks, world } = test;
  doubts.add(at("lobby"));
  world.fails = true;
  for (let tries = 1; tries <= 3; tries++) {
    world.now_ms += 5_000;
    await until(`poll ${tries}`, () => looks.length === tries);
  }
  world.busy = true;
  world.fails = false;
  world.now_ms += 5_000;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual([looks.length, doubts.size], [3, 1]);
  world.busy = false;
  world.now_ms += 5_000;
  await until("it has ended", () => doubts.size === 0);
  assert.equal(looks.length, 4);
});

Deno.test("a write without an answer is checked for a minute, whatever a check finds", async () => {
  await using test = testDoubts();
  const { doubts, looks, world } = test;
  doubts.watch(at("lobby"));
  while (world.now_ms < 60_000) {
    const before = looks.length;
    world.now_ms += 5_000;
    await until(`a poll after ${world.now_ms} ms`, () => looks.length > before);
    if (world.now_ms < 60_000) assert.equal(doubts.size, 1);
  }
  world.now_ms += 5_000;
  await until("it has ended", () => doubts.size === 0);
});

Deno.test("beyond the bound the one that waits longest is left to the next sweep", async () => {
  await using test = testDoubts(2);
  for (const room of ["a", "b", "c"]) test.doubts.add(at(room));
  assert.equal(test.doubts.size, 2);
  test.world.now_ms = 1_000;
  await until("they are looked at", () => test.doubts.size === 0);
  assert.deepEqual(test.looks.sort(), ["b", "c"]);
});
