/** A later value is delivered once, in the turn in which it is available, also to a late waiter. */
import assert from "node:assert/strict";
import { Later } from "./later.ts";

/** A waiter that records its calls. */
function listener() {
  const calls: unknown[] = [];
  return {
    calls,
    passed: (value: unknown) => void calls.push(["passed", value]),
    refused: (error: unknown) => void calls.push(["refused", error]),
  };
}

Deno.test("a waiter gets a value or an error before the delivering call returns", () => {
  const first = new Later<number>();
  const second = new Later<number>();
  const waiter = listener();
  first.tell(waiter);
  second.tell(waiter);
  assert.deepEqual(waiter.calls, []);
  first.pass(1);
  assert.deepEqual(waiter.calls, [["passed", 1]]);
  second.refuse("no");
  assert.deepEqual(waiter.calls, [["passed", 1], ["refused", "no"]]);
});

Deno.test("a late waiter is called after its registration returns", async () => {
  const first = new Later<number>();
  const second = new Later<number>();
  first.pass(1);
  second.refuse("no");
  const waiter = listener();
  first.tell(waiter);
  second.tell(waiter);
  assert.deepEqual(waiter.calls, []);
  await Promise.resolve();
  assert.deepEqual(waiter.calls, [["passed", 1], ["refused", "no"]]);
});

Deno.test("a watcher gets an error before the waiter, and no value", () => {
  const first = new Later<number>();
  const second = new Later<number>();
  const waiter = listener();
  for (const later of [first, second]) {
    later.watch((error) => void waiter.calls.push(["watched", error]));
    later.tell(waiter);
  }
  first.pass(1);
  second.refuse("no");
  assert.deepEqual(waiter.calls, [["passed", 1], ["watched", "no"], ["refused", "no"]]);
});

Deno.test("it can be awaited, and only one can wait", async () => {
  const first = new Later<number>();
  const second = new Later<number>();
  queueMicrotask(() => first.pass(1));
  queueMicrotask(() => second.refuse(new Error("no")));
  assert.equal(await first, 1);
  await assert.rejects(async () => await second, /no/);
  assert.throws(() => first.tell(listener()), /already has a waiter/);
});
