/** Ranges of numbers, compared with the same sets listed number by number. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { formatRanges, inRanges, mergeRanges, subtractRanges } from "./compat_reserved.ts";

const range = fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 8 }))
  .map(([start, length]) => ({ start, end: start + length }));
const ranges = fc.array(range, { maxLength: 12 });

const holds = (list: readonly { start: number; end: number }[], number: number) =>
  list.some(({ start, end }) => start <= number && number < end);

Deno.test("merged ranges have the same numbers, sorted and disjoint", () => {
  fc.assert(fc.property(ranges, (list) => {
    const merged = mergeRanges(list);
    for (let number = -1; number < 70; number++) {
      assert.equal(inRanges(merged, number), holds(list, number));
    }
    for (const [index, { start }] of merged.entries()) {
      assert.ok(start > (merged[index - 1]?.end ?? -1));
    }
  }));
});

Deno.test("a difference has the numbers of the first that are not in the second", () => {
  fc.assert(fc.property(ranges, ranges, (first, second) => {
    const left = subtractRanges(mergeRanges(first), mergeRanges(second));
    for (let number = -1; number < 70; number++) {
      assert.equal(inRanges(left, number), holds(first, number) && !holds(second, number));
    }
  }));
});

Deno.test("ranges read as a .proto file writes them", () => {
  const list = [{ start: 3, end: 4 }, { start: 5, end: 10 }, { start: 1000, end: 536_870_912 }];
  assert.equal(formatRanges(list), "3, 5 to 9, 1000 to max");
});
