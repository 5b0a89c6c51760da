/** A refusal is encoded once for all clients that get it, and only for them. */
import assert from "node:assert/strict";
import { errFrame, type SentError } from "./reply_frames.ts";

const ERROR: SentError = {
  code: 429,
  reason: "rate-limited",
  message: "rate limited: retry after 1 ms",
  retry_after_ms: 1,
};

Deno.test("a repeated refusal in the same form is the same frame", () => {
  for (const text of [false, true]) {
    assert.equal(errFrame(text, { ...ERROR }), errFrame(text, { ...ERROR }));
  }
});

Deno.test("another form, or any other member, is another frame", () => {
  const others: SentError[] = [
    { ...ERROR, code: 503 },
    { ...ERROR, reason: "draining" },
    { ...ERROR, message: "rate limited: retry after 2 ms" },
    { ...ERROR, retry_after_ms: 2 },
    { ...ERROR, room: "r" },
    { ...ERROR, room: "r", action: "publish" },
  ];
  for (const other of others) {
    const before = errFrame(false, ERROR);
    assert.notDeepEqual(errFrame(false, other), before);
    assert.deepEqual(errFrame(false, ERROR), before);
  }
  assert.equal(typeof errFrame(true, ERROR), "string");
});
