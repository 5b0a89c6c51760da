/** Counts by names that users choose. */
import assert from "node:assert/strict";
import { addCounts, type Counts, countWithin, OTHERS, plain } from "./tally.ts";

Deno.test("replay: senders are counted one by one up to a limit, whatever their names", () => {
  const one: Counts = new Map();
  const other: Counts = new Map();
  for (const by_sender of [one, other]) {
    for (const name of ["constructor", "__proto__", "ann"]) countWithin(2, by_sender, name);
  }
  addCounts({ by_sender: one }, { by_sender: other });
  const counts = [["constructor", 2], ["__proto__", 2], [OTHERS, 2]];
  assert.deepEqual(Object.entries(plain({ by_sender: one }).by_sender), counts);
});
