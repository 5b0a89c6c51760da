// Planted faults: each is found, and what is none is not.
import assert from "node:assert/strict";
import { findProblems } from "./checker.ts";
import type { Heard, Sent, Sight } from "./checker.ts";

const sent: readonly Sent[] = ["ann", "bob"].map((sender) => ({
  sender,
  room: "r",
  count: 5,
  failed: new Set(sender === "bob" ? [3] : []),
}));
const message = (sender: string, number: number): Sight => ({ kind: "message", sender, number });
const good: readonly Sight[] = [0, 1, 2, 4, 3].flatMap((number, at) => [
  message("ann", at),
  ...(number === 3 ? [] : [message("bob", number)]),
]);
const judge = (sights: readonly Sight[], room = "r"): string[] => {
  const heard: Heard = { name: "eve", room, sights };
  return findProblems(sent, [heard]).map(({ kind, text }) => `${kind} ${text}`);
};

Deno.test("a good run has no finding, with and without what nobody acknowledged", () => {
  assert.deepEqual(judge(good), []);
  const at = good.findIndex((sight) => sight.kind === "message" && sight.number === 4);
  assert.deepEqual(judge(good.toSpliced(at, 0, message("bob", 3))), []);
  assert.deepEqual(judge([], "other"), []);
});

Deno.test("a lost, repeated, swapped, foreign message and a GAP are found at every place", () => {
  for (const [at, sight] of good.entries()) {
    assert.ok(sight.kind === "message");
    const text = `eve in r: ${sight.sender}/${sight.number}`;
    assert.deepEqual(judge(good.toSpliced(at, 1)), [`lost ${text}`]);
    assert.deepEqual(judge(good.toSpliced(at, 0, sight)), [`repeated ${text}`]);
    assert.deepEqual(judge([...good, sight]), [`repeated ${text}`]);
    const gap: Sight = { kind: "gap", reason: "reconnect" };
    assert.match(judge(good.toSpliced(at, 0, gap)).join(), /^gap eve was told/);
    const next = good.findIndex((other, index) =>
      index > at && other.kind === "message" && other.sender === sight.sender
    );
    if (next < 0) continue;
    const swapped = good.with(at, good[next]!).with(next, sight);
    assert.match(judge(swapped).join(), /^reordered eve in r/);
  }
  assert.deepEqual(judge([...good, message("ann", 5)]), ["foreign eve in r: ann/5"]);
  assert.deepEqual(judge([...good, message("carl", 0)]), ["foreign eve in r: carl/0"]);
});
