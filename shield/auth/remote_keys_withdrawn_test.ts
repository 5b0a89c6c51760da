/** Keys that a set without a usable key withdraws, with a real loopback HTTP server. */
import assert from "node:assert/strict";
import {
  authConfig,
  jwksText,
  makeTestKey,
  mint,
  NOW_MS,
  outcomeOf,
  serveKeys,
  testAuthenticator,
} from "./testing/issuer.ts";

const key = await makeTestKey("RS256", "k1");
const next = await makeTestKey("RS256", "k2");
const curve = await makeTestKey("ES256", "k1");
const CACHE_MS = 600_000;
const LONG = { exp: NOW_MS / 1_000 + 86_400 };

/** An issuer with a changeable answer, its authenticator, and a clock that the test moves. */
async function world() {
  const state = { answer: () => new Response(jwksText(key)), now_ms: NOW_MS };
  const server = serveKeys(() => state.answer());
  const auth = authConfig({ jwks_url: server.url });
  const authenticator = await testAuthenticator(auth, {}, () => state.now_ms);
  const ask = (token: string) => outcomeOf(authenticator, token);
  return { state, ask, authenticator, [Symbol.asyncDispose]: server.stop };
}

const WITHOUT: readonly (readonly [name: string, text: string])[] = [
  ["an empty set", '{"keys":[]}'],
  ["only keys of other algorithms", jwksText(curve)],
  ["only a key for encryption", JSON.stringify({ keys: [{ ...key.public_jwk, use: "enc" }] })],
  ["only a broken key", '{"keys":[{"kty":"RSA","kid":"k1","n":"AQ","e":"AQAB"}]}'],
  ["two keys of one kid", jwksText(key, key)],
  [
    "more keys than the limit",
    JSON.stringify({
      keys: Array.from({ length: 65 }, (_, at) => ({ ...key.public_jwk, kid: `${at}` })),
    }),
  ],
];

Deno.test("a set without a usable key withdraws the old ones after the cache time", async (test) => {
  for (const [name, text] of WITHOUT) {
    await test.step(name, async () => {
      await using issuer = await world();
      const { state, ask, authenticator } = issuer;
      const token = await mint(key, LONG);
      assert.equal(await ask(token), "ok");
      state.answer = () => new Response(text);
      state.now_ms += CACHE_MS - 1;
      assert.equal(await ask(token), "ok");
      state.now_ms += 1;
      assert.equal(await ask(token), "keys-unavailable");
      assert.deepEqual(
        authenticator.keyStatus().map(({ keys, healthy }) => ({ keys, healthy })),
        [{ keys: 0, healthy: false }],
      );
      // An additional outage brings nothing back.
      state.answer = () => new Response("down", { status: 500 });
      state.now_ms += 60_000;
      assert.equal(await ask(token), "keys-unavailable");
      state.answer = () => new Response(jwksText(next));
      state.now_ms += 60_000;
      assert.equal(await ask(token), "token-unknown-key");
      assert.equal(await ask(await mint(next, LONG)), "ok");
    });
  }
});

Deno.test("an early set without a usable key leaves the old ones for their cache time", async () => {
  await using issuer = await world();
  const { state, ask } = issuer;
  const token = await mint(key, LONG);
  assert.equal(await ask(token), "ok");
  state.answer = () => Response.json({ keys: [] });
  state.now_ms += CACHE_MS / 2;
  assert.equal(await ask(await mint(next, LONG)), "keys-unavailable", "its kid caused a fetch");
  assert.equal(await ask(token), "ok");
  state.now_ms += CACHE_MS / 2;
  assert.equal(await ask(token), "keys-unavailable");
});

Deno.test("an answer that is not a set is an outage: old keys bridge it", async () => {
  await using issuer = await world();
  const { state, ask } = issuer;
  const token = await mint(key, LONG);
  assert.equal(await ask(token), "ok");
  state.answer = () => new Response("<html>be back soon</html>");
  state.now_ms += 9 * CACHE_MS;
  assert.equal(await ask(token), "ok");
  state.now_ms += CACHE_MS;
  assert.equal(await ask(token), "keys-unavailable");
});
