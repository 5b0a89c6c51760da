/** The codes of refusals whose HTTP code a policy chose. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { clientError, DISCONNECT, disconnectFor, ERROR } from "./codes.ts";

Deno.test("a policy's refusal is error 103 and disconnect 3507, whatever code the policy chose", () => {
  for (const code of [400, 401, 403, 413, 422, 429, 500, 503]) {
    const refusal = new ArqonError("policy-rejected", "no", { code });
    assert.equal(disconnectFor(refusal), DISCONNECT.permission_denied, `${code}`);
    const { code: number, temporary } = clientError(refusal);
    assert.deepEqual([number, temporary], [ERROR.permission_denied, undefined], `${code}`);
  }
});
