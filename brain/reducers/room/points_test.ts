/** Which snapshots of a room stay: near every entry of its log, within number and bytes, always the last two. */
import assert from "node:assert/strict";
import type { RoomPoint } from "../../../shared/records/reducer_points.ts";
import { thinned } from "./stored_data.ts";

const point = (offset: number, size_bytes = 10): RoomPoint => ({
  offset,
  time_ms: offset,
  position: offset,
  size_bytes,
  chain: "0".repeat(16),
});
const ROOMY = { history_snapshots: 1_000, history_bytes: 1_000_000 };

Deno.test("points below the log's beginning go, but for the last two", () => {
  const points = [1, 2, 3, 4, 5].map((at) => point(at * 10));
  const offsets = (floor: number) => thinned(points, floor, ROOMY).map(({ offset }) => offset);
  assert.deepEqual(offsets(0), [10, 20, 30, 40, 50]);
  assert.deepEqual(offsets(30), [30, 40, 50]);
  assert.deepEqual(offsets(31), [40, 50]);
  assert.deepEqual(offsets(60), [40, 50]);
});

Deno.test("the snapshot before the log's first entry is kept: without it the next entries cannot be seen", () => {
  const points = [20, 30, 40, 50, 60].map((at) => point(at));
  const offsets = (floor: number, history_snapshots: number) =>
    thinned(points, floor, { ...ROOMY, history_snapshots }).map(({ offset }) => offset);
  assert.deepEqual(offsets(20, 4), [20, 40, 50, 60]);
  assert.deepEqual(offsets(20, 3), [20, 50, 60]);
  assert.deepEqual(offsets(20, 2), [50, 60]);
  // If the log begins elsewhere, it is an ordinary point.
  assert.deepEqual(offsets(15, 4), [30, 40, 50, 60]);
});

Deno.test("a million entries have one within some thousands, at each time of its life", () => {
  let kept: RoomPoint[] = [];
  const limits = { history_snapshots: 64, history_bytes: 640 };
  for (let offset = 1_000; offset <= 1_000_000; offset += 1_000) {
    kept = thinned([...kept, point(offset)], 0, limits);
    assert.ok(kept.length <= 64);
    let before = 0;
    for (const one of kept) {
      // Twice the best spread, plus the gap between two that were stored.
      assert.ok(one.offset - before <= 2 * offset / 64 + 2_000, `${before} to ${one.offset}`);
      before = one.offset;
    }
    assert.equal(before, offset);
  }
});

Deno.test("bytes bound them, too, and the last two stay at any size", () => {
  const points = [1, 2, 3, 4].map((at) => point(at, 100));
  const sizes = (history_bytes: number) =>
    thinned(points, 0, { ...ROOMY, history_bytes }).map(({ offset }) => offset);
  assert.deepEqual(sizes(400), [1, 2, 3, 4]);
  assert.deepEqual(sizes(399), [2, 3, 4]);
  assert.deepEqual(sizes(1), [3, 4]);
});
