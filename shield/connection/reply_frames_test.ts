/** A refusal is encoded once for all clients that get it, and only for them. */
import assert from "node:assert/strict";
import { errFrame } from "./reply_frames.ts";
import type { ErrSaid } from "./reply_frames.ts";

const SAID: ErrSaid = {
  code: 429,
  reason: "rate-limited",
  message: "rate limited: retry after 1 ms",
  retry_after_ms: 1,
};

Deno.test("a repeated refusal in the same form is the same frame", () => {
  for (const text of [false, true]) {
    assert.equal(errFrame(text, { ...SAID }), errFrame(text, { ...SAID }));
  }
});

Deno.test("another form, or any other member, is another frame", () => {
  const others: ErrSaid[] = [
    { ...SAID, code: 503 },
    { ...SAID, reason: "draining" },
    { ...SAID, message: "rate limited: retry after 2 ms" },
    { ...SAID, retry_after_ms: 2 },
    { ...SAID, room: "r" },
    { ...SAID, room: "r", action: "publish" },
  ];
  for (const other of others) {
    const before = errFrame(false, SAID);
    assert.notDeepEqual(errFrame(false, other), before);
    assert.deepEqual(errFrame(false, SAID), before);
  }
  assert.equal(typeof errFrame(true, SAID), "string");
});
