// From options to a position, on a room in this process.
import assert from "node:assert/strict";
import fc from "fast-check";
import { hasStart, startPlace } from "./history.ts";
import { StoredRoom } from "../testing/stored_room.ts";

/** The messages printed from a position on. */
const after = (room: StoredRoom, offset: number) => room.offsets.filter((at) => at > offset);

Deno.test("--from is the place itself, with the room's epoch", async () => {
  const room = new StoredRoom([3, 5, 9]);
  const place = { offset: 5, epoch: "e1", is_named: true };
  assert.deepEqual(await startPlace(room, { from: 5 }, 0), place);
  const named = { ...place, epoch: "e0", is_epoch_named: true };
  assert.deepEqual(await startPlace(room, { from: 5, epoch: "e0" }, 0), named, "the SUB tells");
  const all = await startPlace(room, { from: 0 }, 0);
  assert.deepEqual(all, { offset: 0, epoch: "e1", is_named: false });
});

Deno.test("--last begins before the n newest, --since before the first that is young enough", async () => {
  const offsets = fc.uniqueArray(fc.integer({ min: 1, max: 9_000 }), { maxLength: 1_500 });
  await fc.assert(fc.asyncProperty(
    offsets,
    fc.integer({ min: 1, max: 1_600 }),
    fc.integer({ min: 1, max: 10 }),
    async (stored, last, since) => {
      const room = new StoredRoom(stored.sort((a, b) => a - b));
      const newest = await startPlace(room, { last }, 0);
      assert.deepEqual(after(room, newest.offset), room.offsets.slice(-last));
      // A stored message's time in ms is its offset.
      const young = await startPlace(room, { since }, 10_000);
      const oldest_ms = 10_000 - since * 1_000;
      const expected = room.offsets.filter((at) => at >= oldest_ms);
      assert.deepEqual(after(room, young.offset), expected);
      assert.deepEqual([newest.is_named, young.is_named], [false, false]);
    },
  ));
});

Deno.test("only --from, --since and --last make a start", () => {
  assert.deepEqual(
    [{}, { epoch: "x" }, { from: 0 }, { since: 1 }, { last: 1 }].map(hasStart),
    [false, false, true, true, true],
  );
});
