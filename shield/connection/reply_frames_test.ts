/** That a refusal is encoded once for all who get it, and only for them. */
import assert from "node:assert/strict";
import { errFrame } from "./reply_frames.ts";
import type { ErrForm, ErrSaid } from "./reply_frames.ts";

const SAID: ErrSaid = {
  code: 429,
  reason: "rate-limited",
  message: "rate limited: retry after 1 ms",
  retry_after_ms: 1,
};
const FORMS: readonly ErrForm[] = [
  { text: false, refusals: false },
  { text: false, refusals: true },
  { text: true, refusals: false },
];

Deno.test("the same refusal, said again in the same form, is the same frame", () => {
  for (const form of FORMS) {
    assert.equal(errFrame({ ...form }, { ...SAID }), errFrame({ ...form }, { ...SAID }));
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
  const form = { text: false, refusals: true };
  for (const other of others) {
    const before = errFrame(form, SAID);
    assert.notDeepEqual(errFrame(form, other), before);
    assert.deepEqual(errFrame(form, SAID), before);
  }
  const [plain, refusal, text] = FORMS.map((one) => errFrame(one, SAID));
  assert.notDeepEqual(plain, refusal);
  assert.equal(typeof text, "string");
});
