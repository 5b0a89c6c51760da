/** The checker of changes finds each kind of error, and nothing else. */
import assert from "node:assert/strict";
import { ChangeRecord } from "./change_checker.ts";

const change = (version: number, epoch = "7", op = "set", first = false) => ({
  ...{ epoch, version, op, first },
});

/** `-1` is a GAP, `0` a new subscription. */
function judged(
  received: readonly (number | ReturnType<typeof change>)[],
  now: number,
  epoch = "7",
) {
  const record = new ChangeRecord("ann");
  for (const item of received) {
    if (item === -1) record.gap();
    else if (item === 0) record.again();
    else record.receive(typeof item === "number" ? change(item) : item);
  }
  return record.judge({ epoch, version: now });
}

Deno.test("a correct record has no violations", () => {
  assert.deepEqual(judged([1, 2, 3], 3), []);
  assert.deepEqual(judged([5, 6], 6), [], "it came late");
  assert.deepEqual(judged([1, -1, 4], 4), []);
  assert.deepEqual(judged([1, -1], 4), [], "the end was told");
  assert.deepEqual(judged([1, 0, 5], 5), []);
  assert.deepEqual(judged([1, change(9, "7", "state"), 10], 10), []);
  assert.deepEqual(
    judged([3, change(9_001, "8", "set", true), change(9_002, "8")], 9_002, "8"),
    [],
  );
});

Deno.test("a repeat, a change that goes back, a hole and a missing end are found", () => {
  assert.match(judged([1, 2, 2], 2)[0] ?? "", /2 of epoch 7 came behind 2 of epoch 7/);
  assert.match(judged([1, -1, 3, 2], 3)[0] ?? "", /2 of epoch 7 came behind 3/);
  assert.match(judged([1, 3], 3)[0] ?? "", /3 of epoch 7 follows 1 of epoch 7 without a GAP/);
  assert.match(judged([1, -1, 3, 5], 5)[0] ?? "", /5 of epoch 7 follows 3/);
  assert.match(judged([1, change(3, "8")], 3, "8")[0] ?? "", /3 of epoch 8 follows/);
  assert.match(judged([1, 2], 3)[0] ?? "", /the room is at 3 of 7, and it heard of version 2/);
});
