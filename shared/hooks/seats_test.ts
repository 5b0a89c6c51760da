/** Fairness of the semaphore. */
import assert from "node:assert/strict";
import { Seats } from "./seats.ts";

const never = new AbortController().signal;

/** Takes a seat for each of these owners in this order; returns the order of those that got one. */
function taking(seats: Seats, owners: readonly string[]) {
  const got: string[] = [];
  const sent: string[] = [];
  const held: Disposable[] = [];
  for (const owner of owners) {
    seats.take(never, owner).then((seat) => {
      got.push(owner);
      held.push(seat);
    }, () => void sent.push(owner));
  }
  const settled = async () => {
    for (let turn = 0; turn < 4; turn++) await Promise.resolve();
  };
  return { got, sent, held, settled };
}

Deno.test("owners take turns, however many requests one has", async () => {
  const seats = new Seats(1);
  const { got, held, settled } = taking(seats, ["a", "a", "a", "a", "b", "c"]);
  await settled();
  while (held.length > 0) {
    held.shift()?.[Symbol.dispose]();
    await settled();
  }
  assert.deepEqual(got, ["a", "a", "b", "c", "a", "a"]);
  assert.equal(seats.waiting, 0);
});

Deno.test("the owner with most waiting requests gives way to an owner with fewer, and to no other", async () => {
  const seats = new Seats(1);
  const { sent, settled } = taking(seats, ["a", "a", "a"]);
  await settled();
  assert.equal(seats.makeRoom("a"), false);
  assert.equal(seats.makeRoom("b"), true);
  const other = taking(seats, ["b"]);
  await settled();
  assert.deepEqual([sent, seats.waiting], [["a"], 2]);
  assert.equal(seats.makeRoom("b"), false, "both have one");
  assert.equal(seats.makeRoom("c"), true);
  await other.settled();
  assert.equal(sent.length + other.sent.length, 2);
});

Deno.test("an aborted request leaves the queue", async () => {
  const seats = new Seats(1);
  using _held = await seats.take(never, "a");
  const ending = new AbortController();
  const waits = seats.take(ending.signal, "b");
  ending.abort(new Error("late"));
  await assert.rejects(waits, /late/);
  assert.equal(seats.waiting, 0);
});
