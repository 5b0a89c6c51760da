// The window and the pace alone, without a bus; `main_test.ts` has `--rate` as a whole.
import assert from "node:assert/strict";
import { turn } from "../../shared/testing/pace.ts";
import { dueAfter, Window } from "./flow.ts";

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
