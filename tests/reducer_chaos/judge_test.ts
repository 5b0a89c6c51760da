/** Whether the checks detect calls that were applied twice, never, or in two orders. */
import assert from "node:assert/strict";
import type { MadeCall } from "./callers.ts";
import { judgeEntries, linearizable } from "./judge.ts";

const call = (
  entry: number,
  amount: number,
  total: number,
  from: number,
  to: number,
): MadeCall => ({ entry, amount, total, from, to });
const RIGHT = [
  call(1, 1, 1, 0, 50),
  call(3, 3, 6, 10, 40),
  call(2, 2, 3, 5, 60),
  call(4, 0, 6, 45, 70),
];
const at = (index: number, change: Partial<MadeCall>) =>
  RIGHT.map((one, place) => place === index ? { ...one, ...change } : one);

Deno.test("porcupine sees calls that were applied twice, late, or in two orders", async () => {
  const histories = [
    RIGHT,
    at(3, { total: 9 }),
    at(3, { total: 3 }),
    at(1, { from: 71, to: 90 }),
    [...RIGHT, call(5, 5, 11, 80, 90), call(6, 2, 13, 60, 75)],
    at(2, { entry: 3 }),
    at(3, { entry: 0 }),
  ];
  const verdicts = await linearizable(histories.map((calls, room) => ({ room: `${room}`, calls })));
  assert.deepEqual(verdicts, ["Ok", ...Array.from({ length: 6 }, () => "Illegal")]);
});

Deno.test("porcupine checks many overlapping calls, most of them reads", async () => {
  const calls: MadeCall[] = [];
  let total = 0;
  for (let entry = 1; entry <= 20_000; entry++) {
    const amount = entry % 5 === 0 ? 1 : 0;
    total += amount;
    // Each is in flight together with 100 others, and those with an odd number began long before.
    calls.push(
      call(entry, amount, total, 10 * entry - (entry % 2 === 1 ? 900 : 500), 10 * entry + 500),
    );
  }
  const began = calls.toSorted((one, other) => one.from - other.from);
  assert.deepEqual(await linearizable([{ room: "many", calls: began }]), ["Ok"]);
  const twice = began.map((one) => one.entry < 10_000 ? one : { ...one, total: one.total + 1 });
  assert.deepEqual(await linearizable([{ room: "many", calls: twice }]), ["Illegal"]);
});

Deno.test("each call has one entry and one event", () => {
  const room = "count-1";
  const events = ["1", "3", "6", "6"];
  assert.deepEqual(judgeEntries({ room, calls: RIGHT }, events), []);
  assert.match(
    judgeEntries({ room, calls: RIGHT }, ["1", "3", "6"])[0]!,
    /4. is nothing instead of 6/,
  );
  assert.match(
    judgeEntries({ room, calls: RIGHT }, [...events, "6"])[0]!,
    /5. is 6 instead of nothing/,
  );
  assert.match(
    judgeEntries({ room, calls: RIGHT }, events.toReversed())[0]!,
    /1. is 6 instead of 1/,
  );
  assert.match(
    judgeEntries({ room, calls: at(3, { entry: 3 }) }, events)[0]!,
    /answered two calls/,
  );
  assert.match(judgeEntries({ room, calls: at(1, { total: 7 }) }, events)[0]!, /7 instead of 6/);
});
