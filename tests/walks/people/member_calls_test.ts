// Correct calls pass; a missing, repeated, reordered or invented one is named.
import assert from "node:assert/strict";
import type { ReceivedCall } from "../../hooks/receiver.ts";
import { judgeCalls, lineOf } from "./member_calls.ts";

const call = (sequence: number, type = "member.joined", id = `e${sequence}`): ReceivedCall => ({
  id,
  body: { type, data: { tenant: "t", room: "r", change: { sequence, connection_id: "c" } } },
});
const journals = new Map([
  ["t/r", [1, 2, 3].map((sequence) => lineOf("joined", { sequence, connection_id: "c" }))],
]);
const right = [call(1), call(2), call(3)];

Deno.test("each change once and in order is right, also when a call is repeated under its id", () => {
  assert.deepEqual(judgeCalls(right, journals), []);
  assert.deepEqual(judgeCalls([call(1), call(2), call(1), call(3), call(2)], journals), []);
});

Deno.test("a missing, duplicate, reordered, invented or falsely lost call is named", () => {
  const wrong: readonly (readonly ReceivedCall[])[] = [
    [call(1), call(3)],
    [call(1), call(2)],
    [call(1), call(2), call(2, "member.joined", "another"), call(3)],
    [call(2), call(1), call(3)],
    [...right, call(4)],
    [call(1), call(2, "member.left"), call(3)],
    [...right, call(4, "hook.lost")],
    [],
  ];
  for (const calls of wrong) assert.equal(judgeCalls(calls, journals).length, 1);
});
