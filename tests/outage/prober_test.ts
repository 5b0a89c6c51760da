// The check finds what it is there for.
import assert from "node:assert/strict";
import { falseAcks } from "./prober.ts";
import type { Attempt, Sight } from "./prober.ts";

const attempts: readonly Attempt[] = Array.from({ length: 6 }, (_, number) => ({
  number,
  sent_ms: number,
  code: number === 3 ? 503 : 0,
}));
const judge = (...sights: Sight[]) => falseAcks(attempts, sights);

Deno.test("acknowledged and heard is right, with or without what was refused", () => {
  assert.deepEqual(judge(0, 1, 2, 4, 5), []);
  assert.deepEqual(judge(0, 1, 2, 3, 4, 5), []);
});

Deno.test("acknowledged and missing is a false ACK unless a GAP says so, there or later", () => {
  assert.deepEqual(judge(0, 1, 4, 5), ["2 was acknowledged and is missing"]);
  assert.deepEqual(judge(0, 1, "gap", 4, 5), []);
  assert.deepEqual(judge(0, 1, 4, "gap", 5), []);
  assert.deepEqual(judge(0, "gap", 1, 4, 5), ["2 was acknowledged and is missing"]);
  assert.deepEqual(judge(0, 1, 2, 4), ["5 was acknowledged and is missing"]);
});

Deno.test("twice and out of order are found", () => {
  assert.deepEqual(judge(0, 1, 2, 2, 4, 5), ["2 was heard twice"]);
  assert.deepEqual(judge(0, 2, 1, 4, 5), ["1 was heard after 2"]);
});
