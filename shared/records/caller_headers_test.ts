/** The sender of a command, between a Shield and a Brain. */
import assert from "node:assert/strict";
import { callerHeaders, CLAIMS_HEADER, pickClaims, readCaller } from "./caller_headers.ts";

Deno.test("requested claims are passed unchanged, in ASCII headers", () => {
  const claims = {
    team: "blå\n\u{1f600}",
    roles: ["a"],
    half: "\ud800",
    other: 1,
    __proto__: null,
  };
  const picked = pickClaims(["team", "roles", "half", "toString", "missing"], claims);
  assert.deepEqual(picked, { team: "blå\n\u{1f600}", roles: `["a"]`, half: "\ufffd" });
  const headers = callerHeaders({ role: "user", claims: picked });
  assert.match(headers[CLAIMS_HEADER] ?? "", /^[\x20-\x7e]+$/);
  assert.deepEqual(readCaller(headers), { role: "user", claims: picked });
  assert.deepEqual(readCaller({}), { role: "user", claims: {} });
});
