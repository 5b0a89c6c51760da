/** Counts by names that users choose. */
import assert from "node:assert/strict";
import { addCounts, type Counts, countWithin, OTHERS } from "./tally.ts";

Deno.test("replay: senders are counted one by one up to a limit, and never listed to count one more", () => {
  let lists = 0;
  const counts: Counts = new Proxy({}, {
    ownKeys(target) {
      lists++;
      return Reflect.ownKeys(target);
    },
  });
  for (let at = 0; at < 1_000; at++) countWithin(3, counts, `user-${at % 5}`);
  assert.ok(lists <= 1, `${lists} lists`);
  assert.deepEqual({ ...counts }, { "user-0": 200, "user-1": 200, "user-2": 200, [OTHERS]: 400 });
});

Deno.test("replay: a sender with the name of a member of every object is counted like any other", () => {
  const one: Counts = {};
  const other: Counts = {};
  for (const counts of [one, other]) {
    for (const name of ["constructor", "__proto__"]) countWithin(9, counts, name);
  }
  addCounts(one!, other!);
  assert.deepEqual(Object.entries(one), [["constructor", 2], ["__proto__", 2]]);
});
