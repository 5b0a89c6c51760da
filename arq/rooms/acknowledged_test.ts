// Acknowledgements in any order.
import assert from "node:assert/strict";
import fc from "fast-check";
import { Acknowledged, swappedText } from "./flow.ts";

Deno.test("the position to continue from is never beyond an unacknowledged message", () => {
  fc.assert(fc.property(
    fc.uniqueArray(fc.integer({ min: 2, max: 500 }), { maxLength: 50 }),
    fc.infiniteStream(fc.nat()),
    (numbers, picks) => {
      const done = new Acknowledged(1);
      const sent = numbers.sort((a, b) => a - b);
      sent.forEach((number) => done.begin(number));
      const left = [...sent];
      while (left.length > 0) {
        const [acknowledged = 0] = left.splice((picks.next().value ?? 0) % left.length, 1);
        // The order of acknowledgements is not that of the log.
        done.add(acknowledged, acknowledged * 10);
        const first = left[0] ?? Infinity;
        assert.equal(done.upTo, sent.filter((number) => number < first).at(-1) ?? 1);
      }
      assert.deepEqual([done.count, swappedText(done)], [numbers.length, ""]);
    },
  ));
});

Deno.test("messages that are stored before an earlier one are counted, in durable rooms only", () => {
  const swapped = (offsets: readonly number[]) => {
    const done = new Acknowledged();
    offsets.forEach((_, index) => done.begin(index + 1));
    offsets.forEach((offset, index) => done.add(index + 1, offset));
    return done;
  };
  assert.equal(swapped([0, 0, 0]).swapped, 0);
  assert.equal(swapped([3, 4, 4, 9]).swapped, 0);
  assert.equal(swapped([3, 9, 4, 5, 10]).swapped, 2);
  assert.match(swappedText(swapped([2, 1])), /^arq: 1 message is stored out of order/);
});
