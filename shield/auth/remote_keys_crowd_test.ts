/** Many tokens for a key set by URL: how many may wait, and when cached tokens expire with the set. */
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
import type { TestKey } from "./testing/issuer.ts";

const first = await makeTestKey("RS256", "k1");
const second = await makeTestKey("RS256", "k2");
const LONG = { exp: NOW_MS / 1_000 + 86_400 };
const CACHE_MS = 600_000;

/** A server of these keys that answers when the test lets it. */
function serveHeld(...keys: TestKey[]) {
  const set = { keys, hold: undefined as Promise<void> | undefined };
  const server = serveKeys(async () => {
    await set.hold;
    return new Response(jwksText(...set.keys));
  });
  return { ...server, set };
}

async function count(outcomes: Promise<string>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const one of await Promise.all(outcomes)) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}

const tokensOf = (key: typeof first, total: number) =>
  Promise.all(
    Array.from({ length: total }, (_, index) => mint(key, { ...LONG, sub: `u${index}` })),
  );

Deno.test("a set that does not arrive holds waiting_verifications tokens; further ones are keys-unavailable", async () => {
  await using server = serveHeld(first);
  const release = Promise.withResolvers<void>();
  server.set.hold = release.promise;
  const auth = authConfig({ jwks_url: server.url });
  const authenticator = await testAuthenticator(auth, {}, undefined, { waiting_verifications: 10 });
  const outcomes = (await tokensOf(first, 40)).map((token) => outcomeOf(authenticator, token));
  assert.deepEqual(await count(outcomes.slice(10)), { "keys-unavailable": 30 });
  release.resolve();
  assert.deepEqual(await count(outcomes.slice(0, 10)), { ok: 10 });
  assert.equal(server.state.requests, 1);
});

Deno.test("unknown kids hold 64 tokens, and no token whose key is known", async () => {
  await using server = serveHeld(first);
  const time = { now_ms: NOW_MS };
  const authenticator = await testAuthenticator(
    authConfig({ jwks_url: server.url }),
    {},
    () => time.now_ms,
  );
  await authenticator.warm();
  const release = Promise.withResolvers<void>();
  server.set.hold = release.promise;
  time.now_ms += 60_000;
  const outcomes = (await tokensOf(second, 100)).map((token) => outcomeOf(authenticator, token));
  assert.deepEqual(await count(outcomes.slice(64)), { "keys-unavailable": 36 });
  assert.equal(await outcomeOf(authenticator, await mint(first, LONG)), "ok");
  server.set.keys = [first, second];
  release.resolve();
  assert.deepEqual(await count(outcomes.slice(0, 64)), { ok: 64 });
});

Deno.test("a cached token is verified again after a reload of the set, and refused without its key", async () => {
  await using server = serveHeld(first, second);
  const time = { now_ms: NOW_MS };
  const authenticator = await testAuthenticator(
    authConfig({ jwks_url: server.url }),
    {},
    () => time.now_ms,
  );
  const verifications = async () => {
    const text = await authenticator.registry.metrics();
    return Number(/^shield_token_cache_misses_total (\d+)/m.exec(text)?.[1]);
  };
  const token = await mint(second, LONG);
  for (let times = 0; times < 3; times++) assert.equal(await outcomeOf(authenticator, token), "ok");
  assert.equal(await verifications(), 1);
  time.now_ms += CACHE_MS;
  assert.equal(await outcomeOf(authenticator, token), "ok");
  assert.equal(await verifications(), 2);
  server.set.keys = [first];
  await authenticator.warm();
  assert.equal(await outcomeOf(authenticator, token), "token-unknown-key");
});
