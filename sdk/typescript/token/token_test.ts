// Reading a token from the outside: shape, expiry, when to refresh. No token here is signed.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { refreshDelay } from "./token_keeper.ts";
import { assertToken, tokenExpiry } from "./jwt.ts";

function tokenWith(claims: unknown): string {
  const part = (value: unknown) =>
    btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `${part({ alg: "RS256" })}.${part(claims)}.c2ln`;
}

Deno.test("exp is read in milliseconds", () => {
  assert.equal(tokenExpiry(tokenWith({ exp: 1_700_000_000, name: "??>>" })), 1_700_000_000_000);
});

Deno.test("an unreadable expiry is undefined, whatever the text", () => {
  for (const claims of [{}, { exp: "soon" }, null, [], 7]) {
    assert.equal(tokenExpiry(tokenWith(claims)), undefined);
  }
  fc.assert(fc.property(fc.string(), (text) => {
    const expiry = tokenExpiry(text);
    assert.ok(expiry === undefined || Number.isFinite(expiry));
  }));
});

Deno.test("a token that cannot travel is refused as 'token-malformed' without being repeated", () => {
  for (const bad of ["", "a.b", "secret token.a.b", "a.b.c\n", "ä.b.c", "a,b.c.d", 7, undefined]) {
    assert.throws(() => assertToken(bad), (error: unknown) => {
      assert.ok(error instanceof ArqonError);
      assert.equal(error.reason, "token-malformed");
      assert.ok(!error.message.includes("secret"));
      return true;
    });
  }
  assertToken(tokenWith({}));
});

Deno.test("a refresh comes before the expiry and never in a tight loop", () => {
  const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(fc.property(fc.integer({ min: -1_000_000, max: 2 ** 50 }), draw, (left_ms, random) => {
    const delay_ms = refreshDelay(left_ms, () => random);
    assert.ok(delay_ms >= 1_000 && delay_ms <= 2_147_483_647);
    if (left_ms > 2_000) assert.ok(delay_ms < left_ms);
  }));
});
