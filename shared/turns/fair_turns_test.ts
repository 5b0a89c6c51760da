/** A connection that has had a share rests while others are active, and only then. */
import assert from "node:assert/strict";
import { nextTurn } from "./next_turn.ts";
import { Turns } from "./fair_turns.ts";

/** The number of turns until a yielding connection continues, and whether a timer of 1 ms was due before. */
function wayBack(turns: Turns): Promise<{ turns: number; timer_came: boolean }> {
  const { promise, resolve } = Promise.withResolvers<{ turns: number; timer_came: boolean }>();
  let passed = 0;
  let timer_came = false;
  let is_over = false;
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

Deno.test("a connection that has had a share continues at once if no other is active, and rests otherwise", async () => {
  let now_ms = 1_000;
  const turns = new Turns(undefined, () => now_ms);
  const one = {};
  const other = {};
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

Deno.test("resting connections continue in the order of yielding", async () => {
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
  // A waiting one may be before or after them: a rest of 1 ms may end before the next turn.
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

Deno.test("no waiting connection begins in a turn that has used its time", async () => {
  let now_ms = 0;
  const turns = new Turns(8, () => now_ms);
  let passed = 0;
  let is_over = false;
  const count = () => {
    passed++;
    if (!is_over) nextTurn(count);
  };
  nextTurn(count);
  const in_turn: number[] = [];
  const share = async (share_ms: number) => {
    await turns.later();
    in_turn.push(passed);
    now_ms += share_ms;
  };
  await Promise.all(Array.from({ length: 6 }, () => share(40)));
  assert.equal(new Set(in_turn).size, 6, `large ones began in turns ${in_turn.join()}`);
  in_turn.length = 0;
  await Promise.all(Array.from({ length: 6 }, () => share(0.1)));
  assert(new Set(in_turn).size < 6, `small ones began in turns ${in_turn.join()}`);
  is_over = true;
});

Deno.test("a large share is late once large ones have used the turn's time, a small one never", async () => {
  let now_ms = 0;
  const turns = new Turns(8, () => now_ms);
  turns.begin({});
  assert.equal(turns.isLate(100), false);
  now_ms += 40;
  turns.begin({});
  assert.equal(turns.isLate(65_536), false, "turns with small shares only have no end");
  now_ms += 40;
  turns.begin({});
  assert.deepEqual([turns.isLate(65_536), turns.isLate(100)], [true, false]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  turns.begin({});
  assert.equal(turns.isLate(65_536), false, "another turn");
});
