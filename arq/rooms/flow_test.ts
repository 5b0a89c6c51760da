// The window, the pace, and acknowledgements in any order, without a bus; `main_test.ts` has `--rate` as a whole.
import assert from "node:assert/strict";
import { turn } from "../../shared/testing/pace.ts";
import { Acknowledged, dueAfter, swappedText, Window } from "./flow.ts";
import fc from "fast-check";

Deno.test("at most the limit is in flight, and all of it is awaited", async () => {
  const window = new Window(3);
  const finish: (() => void)[] = [];
  let most = 0;
  let under_way = 0;
  const work = async () => {
    most = Math.max(most, ++under_way);
    await new Promise<void>((resolve) => finish.push(resolve));
    under_way -= 1;
  };
  const all = (async () => {
    for (let index = 0; index < 10; index += 1) await window.run(work);
    await window.drained();
  })();
  let done = false;
  all.then(() => done = true);
  while (!done) {
    finish.shift()?.();
    await turn();
  }
  assert.equal(most, 3);
  assert.equal(under_way, 0);
});

Deno.test("the first failure stops later ones", async () => {
  const window = new Window(1);
  await window.run(() => Promise.reject(new Error("first")));
  await assert.rejects(window.run(() => Promise.reject(new Error("second"))), /first/);
  await assert.rejects(window.drained(), /first/);
});

Deno.test("a rate spreads the pieces evenly from the start", () => {
  assert.deepEqual([0, 1, 2, 100].map((index) => dueAfter(index, 50)), [0, 20, 40, 2_000]);
  assert.equal(dueAfter(1, 0.5), 2_000);
});

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
