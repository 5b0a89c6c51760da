/** The state of the arena: ticks on top of the room's answer, and missing ticks. */
import assert from "node:assert/strict";
import { Arena, type Tick } from "./arena.ts";

const FIELD = { wide: 192, high: 128, cell: 4, tick: 5, gems: [1, 2] };
const tick = (number: number, gems: Tick["gems"] = []): Tick => ({
  tick: number,
  players: { ann: [number, 0, 0] },
  gems,
});

Deno.test("ticks that arrive before the answer count if they are later than the answer", () => {
  const arena = new Arena();
  for (const one of [tick(4, [[9, 1]]), tick(5, [[8, 1]]), tick(6, [[2, 0], [3, 1]])]) {
    assert.equal(arena.take(one), true);
  }
  assert.equal(arena.begin(FIELD), true);
  assert.deepEqual([...arena.gems], [1, 3]);
  // A gem that is collected and placed again in one tick exists.
  assert.equal(arena.take(tick(7, [[1, 0], [1, 1], [3, 0], [4, 1], [4, 0]])), true);
  assert.deepEqual([...arena.gems], [1]);
  assert.deepEqual(arena.now?.players["ann"], [7, 0, 0]);
  assert.equal(arena.before?.tick, 6);
});

Deno.test("a missing tick is detected, also among the waiting ticks", () => {
  const arena = new Arena();
  assert.equal(arena.begin(FIELD), true);
  assert.equal(arena.take(tick(6)), true);
  assert.equal(arena.take(tick(8)), false);
  arena.leave();
  arena.take(tick(9));
  assert.equal(arena.begin({ ...FIELD, tick: 7 }), false);
  assert.equal(arena.begin({ ...FIELD, tick: 9 }), true);
  const late = new Arena();
  for (let at = 6; at < 400; at++) late.take(tick(at));
  assert.equal(late.begin(FIELD), false);
});
