/** Problem bodies and headers by RFC 9457, 6750 and 9110, without a server. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, ERRORS, type Reason } from "@arqon/proto";
import { problemOf, problemResponse } from "./problem.ts";
import { anyCharacter } from "./testing/any_character.ts";

Deno.test("every reason becomes a problem body with its own type, status and code", async () => {
  for (const reason of Object.keys(ERRORS) as Reason[]) {
    const response = problemResponse(new ArqonError(reason, "x"));
    assert.equal(response.status, ERRORS[reason].code);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.equal(response.headers.get("cache-control"), "no-store");
    const body = await response.json();
    assert.equal(body.type, `urn:arqon:error:${reason}`);
    assert.equal(body.reason, reason);
    assert.equal(body.code, ERRORS[reason].code);
    assert.equal(body.status, response.status);
    assert.ok(body.title.length > 0 && body.detail.length > 0);
  }
});

Deno.test("the title depends on the reason only, the detail on the occurrence", () => {
  const one = problemOf(new ArqonError("invalid-room", "a"));
  const two = problemOf(new ArqonError("invalid-room", "b"));
  assert.equal(one.title, "Invalid room");
  assert.equal(one.title, two.title);
  assert.equal(one.detail, "Invalid room: a");
  assert.notEqual(one.detail, two.detail);
});

Deno.test("401 without a token carries a challenge without an error code", () => {
  const response = problemResponse(new ArqonError("token-missing"));
  assert.equal(response.status, 401);
  assert.equal(response.headers.get("www-authenticate"), 'Bearer realm="arqon"');
});

Deno.test("401 with a bad token has invalid_token and the reason", () => {
  const response = problemResponse(new ArqonError("token-claim", "exp"));
  assert.equal(
    response.headers.get("www-authenticate"),
    'Bearer realm="arqon", error="invalid_token", ' +
      'error_description="Token claim: exp"',
  );
});

Deno.test("no detail breaks out of the challenge's quoted string", () => {
  fc.assert(fc.property(fc.string({ unit: anyCharacter }), (detail) => {
    const value = problemResponse(new ArqonError("token-claim", detail)).headers
      .get("www-authenticate") ?? "";
    assert.match(
      value,
      /^Bearer realm="arqon", error="invalid_token", error_description="[\x20\x21\x23-\x5b\x5d-\x7e]*"$/,
    );
  }));
});

Deno.test("403 and 404 carry no challenge", () => {
  for (const reason of ["not-granted", "not-found"] as const) {
    assert.equal(problemResponse(new ArqonError(reason)).headers.get("www-authenticate"), null);
  }
});

Deno.test("429 and 503 have the wait in whole seconds, if known", async () => {
  for (const reason of ["rate-limited", "spine-unavailable"] as const) {
    const response = problemResponse(new ArqonError(reason, "", { retry_after_ms: 1_001 }));
    assert.equal(response.headers.get("retry-after"), "2");
    assert.equal((await response.json()).retry_after_ms, 1_001);
    const unknown = problemResponse(new ArqonError(reason));
    assert.equal(unknown.headers.get("retry-after"), null);
    assert.equal("retry_after_ms" in await unknown.json(), false);
  }
});

Deno.test("extra headers are added", () => {
  const response = problemResponse(new ArqonError("method-not-allowed", "PUT"), { allow: "GET" });
  assert.equal(response.status, 405);
  assert.equal(response.headers.get("allow"), "GET");
});

Deno.test("the cause of an internal error stays out of the body", async () => {
  const error = new ArqonError("internal", "", { cause: new Error("secret path /etc/x") });
  assert.equal((await problemResponse(error).text()).includes("secret"), false);
});
