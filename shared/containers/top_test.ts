/** The largest of many: the same as sorting all of them, in bounded turns. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { topOf } from "./top.ts";

Deno.test("the result equals the beginning of the sorted list", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ name: fc.string({ maxLength: 3 }), score: fc.nat(5) }), {
        maxLength: 3_000,
      }),
      fc.integer({ min: 1, max: 20 }),
      async (list, limit) => {
        // Names are unique, as ids are.
        const all = [...new Map(list.map((item) => [item.name, item])).values()];
        const { items, total } = await topOf(all, {
          limit,
          accept: ({ score }) => score > 0,
          score: ({ score }) => score,
          name: ({ name }) => name,
          pause: () => Promise.resolve(),
        });
        const right = all.filter(({ score }) => score > 0)
          .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1));
        assert.deepEqual(items, right.slice(0, limit));
        assert.equal(total, right.length);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("many items are visited in many turns", async () => {
  const all = Array.from({ length: 100_000 }, (_, index) => index);
  let pauses = 0;
  const { items } = await topOf(all, {
    limit: 3,
    score: (item) => item,
    name: String,
    pause: () => {
      pauses++;
      return Promise.resolve();
    },
  });
  assert.deepEqual(items, [99_999, 99_998, 99_997]);
  assert.equal(pauses, 48);
});
