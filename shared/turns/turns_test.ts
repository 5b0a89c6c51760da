/** That whoever has had a share rests while others speak too, and only then. */
import assert from "node:assert/strict";
import { nextTurn } from "./next_turn.ts";
import { Turns } from "./turns.ts";

/** In how many turns of the event loop the one who gives way goes on, and whether a timer of 1 ms was due before. */
function wayBack(turns: Turns): Promise<{ turns: number; timer_came: boolean }> {
  const { promise, resolve } = Promise.withResolvers<{ turns: number; timer_came: boolean }>();
  let [passed, timer_came, is_over] = [0, false, false];
  setTimeout(() => timer_came = true, 1);
  const count = () => {
    passed++;
    if (!is_over) nextTurn(count);
  };
  nextTurn(count);
  turns.giveWay(() => {
    is_over = true;
    resolve({ turns: passed, timer_came });
  });
  return promise;
}

Deno.test("who has had a share goes on at once while nobody else speaks, and rests when somebody does", async () => {
  let now_ms = 1_000;
  const turns = new Turns(undefined, () => now_ms);
  const [one, other] = [{}, {}];
  turns.begin(one);
  assert((await wayBack(turns)).turns <= 3);
  turns.begin(other);
  turns.begin(one);
  assert((await wayBack(turns)).timer_came);
  now_ms += 50;
  turns.begin(one);
  assert((await wayBack(turns)).timer_came);
  now_ms += 100;
  turns.begin(one);
  assert((await wayBack(turns)).turns <= 3);
});

Deno.test("all that rest go on in the order in which they gave way", async () => {
  const turns = new Turns();
  turns.begin({});
  turns.begin({});
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  turns.giveWay(() => order.push("first"));
  turns.giveWay(() => {
    order.push("second");
    resolve();
  });
  // One that only waits may come before or after them: a rest of 1 ms may be over before the next turn.
  await turns.later();
  await promise;
  assert.deepEqual(order, ["first", "second"]);
});

Deno.test("a share of few frames that take long ends sooner than one of many short ones", () => {
  let now_ms = 0;
  const turns = new Turns(1, () => now_ms);
  const framesUntilLong = (ms_a_frame: number) => {
    turns.begin({});
    for (let frames = 1; frames <= 1_000; frames++) {
      now_ms += ms_a_frame;
      if (turns.isLong(frames)) return frames;
    }
    return Infinity;
  };
  assert.equal(framesUntilLong(1), 4);
  assert.equal(framesUntilLong(0.1), 16);
  assert.equal(framesUntilLong(0.02), 32);
});
