// Calls of `getToken` and their results; tokens are unsigned and not verified.
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import type { TokenRequest } from "../options/options.ts";
import { TokenKeeper } from "./token_keeper.ts";

function tokenUntil(exp: number): string {
  return `e30.${btoa(JSON.stringify({ exp })).replaceAll("=", "")}.c2ln`;
}

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
  const given = tokenUntil(2_000);
  assert.equal(await keeper(given, () => "x.y.z").current(undefined), given);
  assert.equal(await keeper(tokenUntil(999), () => "x.y.z").current(undefined), "x.y.z");
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
