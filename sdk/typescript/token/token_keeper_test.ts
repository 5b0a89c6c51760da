// Reading a token from the outside: shape, expiry, when to refresh; calls of `getToken` and their results. No token
// here is signed or verified.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { assertToken, type TokenRequest } from "../options/options.ts";
import { refreshDelay, tokenExpiry, TokenKeeper } from "./token_keeper.ts";

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

function keeper(
  token: string | undefined,
  getToken?: (request: TokenRequest) => string | Promise<string>,
  signal = new AbortController().signal,
  now_ms = 1_000_000,
): TokenKeeper {
  return new TokenKeeper({
    ...(token && { token }),
    ...(getToken && { getToken }),
    handshake_timeout_ms: 10_000,
    signal,
    now: () => now_ms,
    random: () => 0,
    nextId: () => 1,
    onError: () => assert.fail("nothing is refreshed"),
  });
}

Deno.test("the given token is used until it expires; then getToken is called", async () => {
  const given = tokenWith({ exp: 2_000 });
  assert.equal(await keeper(given, () => "x.y.z").current(undefined), given);
  assert.equal(await keeper(tokenWith({ exp: 999 }), () => "x.y.z").current(undefined), "x.y.z");
  const later = keeper(given, () => "x.y.z", undefined, 2_500_000);
  assert.equal(await later.current(undefined), "x.y.z");
});

Deno.test("getToken receives the refusal of the previous token", async () => {
  const refusals: (string | undefined)[] = [];
  const tokens = keeper(undefined, ({ refused }) => {
    refusals.push(refused?.reason);
    return "x.y.z";
  });
  await tokens.current(undefined);
  await tokens.current(undefined);
  await tokens.current(new ArqonError("token-expired"));
  assert.deepEqual(refusals, [undefined, "token-expired"], "and a good token is kept");
});

Deno.test("a failing token source is 'unreachable', a wrong answer 'token-malformed'", async () => {
  const reason = (expected: string) => (error: unknown) =>
    error instanceof ArqonError && error.reason === expected;
  const failing = keeper(undefined, () => Promise.reject(new Error("503")));
  await assert.rejects(failing.current(undefined), reason("unreachable"));
  const wrong = keeper(undefined, () => "not a token");
  await assert.rejects(wrong.current(undefined), reason("token-malformed"));
});

Deno.test("closing does not wait for a token source that hangs", async () => {
  const abort = new AbortController();
  const pending = keeper(undefined, () => new Promise(() => {}), abort.signal).renew(undefined);
  abort.abort();
  await assert.rejects(
    pending,
    (error) => error instanceof ArqonError && error.reason === "connection-closed",
  );
});
