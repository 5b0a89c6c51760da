// From a Shield's refusal to an error, for every reason of the table and for any bytes.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, ERRORS, type Reason } from "@arqon/proto";
import { errorFromWire, isPassing } from "./wire_error.ts";

const reasons = Object.keys(ERRORS) as Reason[];

Deno.test("a refusal's text is for people: it decides neither the reason nor the room", () => {
  fc.assert(fc.property(fc.constantFrom(...reasons), (reason) => {
    const { code, message } = new ArqonError(reason, "subscribe in lobby");
    const plain = errorFromWire({ code, message });
    assert.equal(plain.reason, errorFromWire({ code, message: "x" }).reason);
    assert.deepEqual([plain.code, plain.message], [code, message]);
    assert.deepEqual([plain.room, plain.action], ["", ""]);
    assert.equal(errorFromWire({ code, reason, message: "x" }).reason, reason);
  }));
});

Deno.test("a policy's own reason after the colon is kept in the text", () => {
  const error = errorFromWire({ code: 403, message: "Message blocked by policy: too rude" });
  assert.equal(error.reason, "policy-rejected");
  assert.equal(error.message, "Message blocked by policy: too rude");
});

Deno.test("an unknown reason of a newer Shield becomes the nearest known one and is named in the text", () => {
  const error = errorFromWire({ code: 429, reason: "too-purple", message: "Too purple" });
  assert.equal(error.reason, "rate-limited");
  assert.equal(error.code, 429);
  assert.match(error.message, /Too purple \(too-purple\)/);
});

Deno.test("any bytes on the wire give an ArqonError", () => {
  fc.assert(fc.property(
    fc.integer(),
    fc.option(fc.string(), { nil: undefined }),
    fc.string({ maxLength: 5_000 }),
    (code, reason, message) => {
      const wire = reason === undefined ? { code, message } : { code, reason, message };
      const error = errorFromWire(wire);
      assert.ok(error instanceof ArqonError);
      assert.ok(error.message.length <= 1_024 + 70);
    },
  ));
});

Deno.test("what must never be retried is not, whatever its code: a policy's refusal, a used-up budget", () => {
  for (const reason of reasons) {
    if (ERRORS[reason].client !== "never-retry") continue;
    for (const code of [408, 429, 503]) {
      assert.equal(isPassing(new ArqonError(reason, "", { code })), false, `${reason} ${code}`);
    }
  }
  for (const reason of ["rate-limited", "log-unavailable", "answer-timeout"] as const) {
    assert.equal(isPassing(new ArqonError(reason)), true, reason);
  }
});
