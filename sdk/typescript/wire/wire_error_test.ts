// From a Shield's refusal to an error, for any bytes. `errors.json` of sdk/conformance has every reason.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, ERRORS, type Reason } from "@arqon/proto";
import { errorFromWire, isPassing } from "./wire_error.ts";

const reasons = Object.keys(ERRORS) as Reason[];

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
