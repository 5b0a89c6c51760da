// The author and time of a snapshot, determined only by the order of the log.
import assert from "node:assert/strict";
import { Compaction } from "./read_log.ts";

const update = (offset: number, size_bytes = 10) => ({ offset, size_bytes });
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

Deno.test("the author of each update that reaches the limit makes a snapshot", () => {
  const compaction = new Compaction({ updates: 5, bytes: 1_000 });
  const due = range(1, 18).filter((offset) => compaction.count(update(offset)));
  assert.deepEqual(due, [5, 10, 15]);
  compaction.held(15);
  assert.deepEqual(range(18, 25).filter((offset) => compaction.count(update(offset))), [20]);
});

Deno.test("bytes count, too, and messages from the history count like live ones", () => {
  const compaction = new Compaction({ updates: 100, bytes: 1_000 });
  compaction.begin([update(1, 500), update(2, 400)]);
  assert.equal(compaction.count(update(3, 99)), false);
  assert.equal(compaction.count(update(4, 1)), true);
  assert.equal(compaction.count(update(5, 5_000)), true, "several at once are one turn");
  compaction.held(4);
  assert.equal(compaction.count(update(6, 1)), false);
});
