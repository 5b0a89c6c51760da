/** The error class, and the registry with its codes and texts. */
import assert from "node:assert/strict";
import { ArqonError, DecodeError, errorMessage } from "./error.ts";
import { type CloseCode, CLOSES, ERRORS, type Reason } from "../gen/errors.ts";
import { isReason, REASONS, ruleOf, ruleOfClose } from "./reasons.ts";

Deno.test("an error has the code, the text and the wait of its reason", () => {
  const error = new ArqonError("not-granted", "publish to lobby", { retry_after_ms: 5 });
  assert.equal(error.name, "ArqonError");
  assert.equal(error.code, 403);
  assert.equal(error.message, "Not granted: publish to lobby");
  assert.equal(error.retry_after_ms, 5);
  assert.equal(new ArqonError("token-missing").retry_after_ms, 0);
});

Deno.test("without a detail a text has no colon at its end", () => {
  assert.equal(errorMessage("spine-unavailable", "x"), "Spine unavailable: x");
  assert.equal(errorMessage("spine-unavailable"), "Spine unavailable");
  assert.equal(errorMessage("token-expired"), "Token expired");
  assert.equal(errorMessage("connection-closed"), "Connection closed");
});

Deno.test("clients and servers have the same entries for reasons", () => {
  assert.deepEqual([...REASONS.keys()].sort(), Object.keys(ERRORS).sort());
  for (const [reason, { code, client, close, message }] of Object.entries(ERRORS)) {
    const rule = ruleOf(reason as Reason);
    assert.deepEqual([rule.code, rule.client, rule.close], [code, client, close], reason);
    assert.ok([message, `${message}: {detail}`].includes(rule.message), reason);
  }
  assert.equal(isReason("constructor"), false);
});

Deno.test("a client reconnects after a close code, except for final ones", () => {
  for (const [code, { name, client, reconnect }] of Object.entries(CLOSES)) {
    assert.deepEqual(ruleOfClose(Number(code) as CloseCode), { name, client });
    assert.equal(reconnect, client !== "never-retry" && client !== "none", code);
  }
  assert.equal(ruleOfClose(4999), undefined);
});

Deno.test("a detail is inserted unchanged, also with dollar signs", () => {
  assert.equal(errorMessage("invalid-room", "$& {detail}"), "Invalid room: $& {detail}");
});

Deno.test("the cause is kept for logs and not in the text", () => {
  const cause = new Error("secret");
  const error = new ArqonError("internal", "", { cause });
  assert.equal(error.cause, cause);
  assert.doesNotMatch(error.message, /secret/);
});

Deno.test("a DecodeError is an ArqonError with code 400 and, from text, the request's id", () => {
  const error = new DecodeError("unknown-field", "Envelope.12", 7);
  assert.ok(error instanceof ArqonError);
  assert.equal(error.code, 400);
  assert.equal(error.reason, "unknown-field");
  assert.equal(error.message, "Unknown field: Envelope.12");
  assert.equal(error.request_id, 7);
  assert.equal(new DecodeError("malformed-frame", "x").request_id, undefined);
});

Deno.test("every reason has its own number, and a close code of the table exactly when it closes", () => {
  const numbers = Object.values(ERRORS).map(({ number }) => number);
  assert.equal(new Set(numbers).size, numbers.length);
  for (const [reason, { outcome, close }] of Object.entries(ERRORS)) {
    assert.equal(outcome === "close", close !== 0, reason);
    if (close !== 0) assert.ok(Object.hasOwn(CLOSES, close), `${reason}: close ${close}`);
  }
});
