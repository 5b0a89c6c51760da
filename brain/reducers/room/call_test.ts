/** The answer that a caller gets for what a reducer answered. */
import assert from "node:assert/strict";
import type { Applied } from "../thread/protocol.ts";
import { answerTo } from "./next_entries.ts";

function answered(answer: string): string {
  const applied: Applied = {
    offset: 7,
    time_ms: 1,
    kind: "applied",
    code: 0,
    reason: "",
    detail: "",
    answer: new TextEncoder().encode(answer),
    fault: undefined,
    repeats: undefined,
    events: [],
    changes: [],
    logs: [],
  };
  return String(answerTo(applied));
}

Deno.test("an answer that nests deeper than readers go is a text, which every client can read", () => {
  const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  assert.equal(answered(nested(96)), `{"entry":7,"answer":${nested(96)}}`);
  assert.equal(answered(nested(97)), `{"entry":7,"answer":"${nested(97)}"}`);
  assert.equal(answered(` {"a":1} `), `{"entry":7,"answer":{"a":1}}`);
  assert.equal(answered("no JSON"), `{"entry":7,"answer":"no JSON"}`);
});
