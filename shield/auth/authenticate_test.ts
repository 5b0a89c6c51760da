/**
 * Valid tokens and their limits: claims, times, sizes, metrics. Forged tokens are in `authenticate_forgery_test.ts`.
 * The cache of verified tokens, compared with a model, and through an authenticator. A token's refusal says what is
 * wrong in plain words, and names no library.
 */
import assert from "node:assert/strict";
import {
  AUDIENCE,
  authConfig,
  ISSUER,
  jwksText,
  makeTestKey,
  mint,
  NOW_MS,
  NOW_SECONDS,
  outcomeOf,
  refusalOf,
  type TestAuthenticator,
  testAuthenticator,
} from "./testing/issuer.ts";
import { ArqonError } from "@arqon/proto";
import fc from "fast-check";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import type { Identity } from "./identity.ts";
import { TokenCache, type Verified } from "./token_cache.ts";
import { errors } from "@panva/jose";
import { tokenRefusal } from "./token_refusal.ts";

const key = await makeTestKey("RS256", "k1");
const signer = await makeTestKey("EdDSA", "user");
const files = { "jwks.json": jwksText(key) };
const SKEW_SECONDS = 30;

async function reasonFor(claims: Record<string, unknown>): Promise<string> {
  const authenticator = await testAuthenticator(authConfig(), files);
  return await outcomeOf(authenticator, await mint(key, claims));
}

Deno.test("a token's claims become the identity", async () => {
  const authenticator = await testAuthenticator(
    authConfig({ roles: ["service"], tenants: ["*"] }),
    files,
  );
  const { kty, crv, x } = signer.public_jwk;
  const identity = await authenticator.authenticate(
    await mint(key, {
      sub: "user 7 ü🙂",
      tenant_id: "acme~eu:1",
      role: "service",
      jti: "t-1",
      exp: NOW_SECONDS + 60.5,
      aud: ["other", AUDIENCE],
      grants: [{ room: "chat-*", actions: ["publish", "publish", "subscribe"] }],
      cnf: { jwk: { kty, crv, x }, jkt: "ignored" },
      unknown: { kept: "for policies" },
    }),
  );
  const { signing_key, claims, ...rest } = identity;
  assert.deepEqual(rest, {
    tenant_id: "acme~eu:1",
    user_id: "user 7 ü🙂",
    user_key: `${ISSUER}\nuser 7 ü🙂`,
    role: "service",
    issuer: ISSUER,
    key_id: "k1",
    expires_ms: NOW_MS + 60_500,
    token_id: "t-1",
    grants: [{ room: "chat-*", actions: ["publish", "subscribe"] }],
  });
  assert.deepEqual(claims.unknown, { kept: "for policies" });
  assert.equal(signing_key?.algorithm.name, "Ed25519");
  assert.deepEqual(signing_key?.usages, ["verify"]);
});

Deno.test("no grants means everything, an empty list means nothing", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const all = await authenticator.authenticate(await mint(key));
  const none = await authenticator.authenticate(await mint(key, { grants: [] }));
  assert.deepEqual([all.grants, none.grants], [undefined, []]);
});

Deno.test("exp and nbf apply to the second, with the configured tolerance", async () => {
  assert.equal(await reasonFor({ exp: NOW_SECONDS - SKEW_SECONDS }), "token-expired");
  assert.equal(await reasonFor({ exp: NOW_SECONDS - SKEW_SECONDS + 1 }), "ok");
  assert.equal(await reasonFor({ nbf: NOW_SECONDS + SKEW_SECONDS }), "ok");
  assert.equal(await reasonFor({ nbf: NOW_SECONDS + SKEW_SECONDS + 1 }), "token-not-yet-valid");
});

Deno.test("without tolerance a token ends at its exp", async () => {
  const auth = authConfig({}, { clock_skew_seconds: 0 });
  const authenticator = await testAuthenticator(auth, files);
  await assert.rejects(authenticator.authenticate(await mint(key, { exp: NOW_SECONDS })), {
    reason: "token-expired",
  });
  const last = await authenticator.authenticate(await mint(key, { exp: NOW_SECONDS + 1 }));
  assert.equal(last.expires_ms, NOW_MS + 1_000);
});

Deno.test("a token admitted only by the tolerance ends with the tolerance", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const identity = await authenticator.authenticate(await mint(key, { exp: NOW_SECONDS - 10 }));
  assert.equal(identity.expires_ms, NOW_MS + (SKEW_SECONDS - 10) * 1_000);
});

Deno.test("subjects of 128 bytes and tenants of 64 bytes are the longest", async () => {
  assert.equal(await reasonFor({ sub: "é".repeat(64) }), "ok");
  assert.equal(await reasonFor({ sub: "a".repeat(129) }), "token-claim");
  const authenticator = await testAuthenticator(authConfig({ tenants: ["*"] }), files);
  const token = await mint(key, { tenant_id: "a".repeat(64) });
  assert.equal((await authenticator.authenticate(token)).tenant_id.length, 64);
});

Deno.test("token_bytes is exceeded by one byte", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const padded = async (by: number) => await mint(key, { note: "x".repeat(by) });
  const base = (await padded(0)).length;
  // Three characters of claims make four of the token; the sizes go up to the limit of 4,096 and beyond.
  const below = await padded(Math.floor((4_096 - base) * 3 / 4));
  assert.ok(below.length <= 4_096 && below.length > 4_090);
  assert.equal((await authenticator.authenticate(below)).user_id, "u1");
  await assert.rejects(
    authenticator.authenticate(await padded(Math.ceil((4_097 - base) * 3 / 4) + 3)),
    { reason: "token-too-large", message: "Token too large: at most 4096 bytes" },
  );
});

Deno.test("refusals are counted by reason", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const tokens = ["x", "", await mint(key), await mint(key, { exp: 1 })];
  await Promise.allSettled(tokens.map((token) => authenticator.authenticate(token)));
  const metrics = await authenticator.registry.metrics();
  for (const result of ["token-malformed", "token-missing", "ok", "token-expired"]) {
    assert.ok(metrics.includes(`shield_authentications_total{result="${result}"} 1\n`), result);
  }
});

Deno.test("an unexpected failure refuses the token, and its log line does not contain it", async () => {
  const authenticator = await testAuthenticator(authConfig(), files, () => NaN);
  const token = await mint(key);
  await assert.rejects(authenticator.authenticate(token), { reason: "token-signature", code: 401 });
  assert.equal(authenticator.lines.length, 1);
  assert.match(authenticator.lines[0] ?? "", /^level=error .*kind=TypeError/);
  for (const part of token.split(".")) assert.ok(!authenticator.lines[0]?.includes(part));
});

const other = await makeTestKey("RS256", "k2");

function verified(user_id: string, verified_ms: number, expires_ms: number): Verified {
  const identity = { user_id, expires_ms } as Identity;
  return { identity, verified_ms, alg: "RS256", kid: "k", key: key.private_key } as Verified;
}

Deno.test("it never takes more than its bytes, and the most recently used entries stay longest", () => {
  const step = fc.record({
    digest: fc.constantFrom("a", "b", "c", "d", "e"),
    add: fc.boolean(),
    size: fc.integer({ min: 1, max: 3_000 }),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const cache = new TokenCache(8_192);
    let model: { digest: string; size: number }[] = [];
    for (const { digest, add, size } of steps) {
      const known = model.find((entry) => entry.digest === digest);
      if (add) {
        cache.add(digest, size, verified(digest, 0, 10));
        model = [...model.filter((entry) => entry !== known), { digest, size: size + 1_024 }];
        const total = () => model.reduce((sum, entry) => sum + entry.size, 0);
        while (total() > 8_192) model.shift();
      } else {
        assert.equal(cache.get(digest, 5)?.identity.user_id, known?.digest);
        if (known) model = [...model.filter((entry) => entry !== known), known];
      }
      assert.equal(cache.size, model.length);
      assert.equal(cache.bytes, model.reduce((sum, entry) => sum + entry.size, 0));
    }
  }));
});

Deno.test("a token counts from its verification to its end, and not a millisecond longer", () => {
  const cache = new TokenCache(10_000);
  cache.add("x", 100, verified("u", 50, 100));
  assert.equal(cache.get("x", 99)?.identity.user_id, "u");
  assert.equal(cache.get("x", 50)?.identity.user_id, "u");
  assert.equal(cache.get("x", 49), undefined);
  assert.equal(cache.size, 0, "it is dropped for good");
  cache.add("x", 100, verified("u", 50, 100));
  assert.equal(cache.get("x", 100), undefined);
  assert.deepEqual([cache.size, cache.bytes], [0, 0]);
});

Deno.test("forget only drops matching tokens; without bytes nothing is cached", async () => {
  const cache = new TokenCache(100_000);
  for (const user of ["ann", "bob", "eve"]) cache.add(user, 10, verified(user, 0, 10));
  assert.equal(await cache.forget(({ user_id }) => user_id === "bob"), 1);
  assert.deepEqual(["ann", "bob", "eve"].map((user) => cache.get(user, 1) !== undefined), [
    true,
    false,
    true,
  ]);
  const none = new TokenCache(0);
  none.add("ann", 1, verified("ann", 0, 10));
  assert.equal(none.size, 0);
});

async function counted(authenticator: TestAuthenticator, name: string): Promise<number> {
  const text = await authenticator.registry.metrics();
  return Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
}

const verifications = (authenticator: TestAuthenticator) =>
  counted(authenticator, "shield_token_cache_misses_total");

Deno.test("a token is verified once, also if it arrives a hundred times at once", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const token = await mint(key);
  const identities = await Promise.all(
    Array.from({ length: 100 }, () => authenticator.authenticate(token)),
  );
  assert.equal(new Set(identities).size, 1);
  assert.equal(await authenticator.authenticate(token), identities[0]);
  assert.equal(await verifications(authenticator), 1);
  assert.equal(await counted(authenticator, "shield_token_cache_hits_total"), 100);
  assert.equal(await counted(authenticator, "shield_token_cache_tokens"), 1);
});

Deno.test("a token that differs in one character is another one", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const token = await mint(key);
  await authenticator.authenticate(token);
  const [head = "", claims = "", signature = ""] = token.split(".");
  const swap = (text: string, at: number) =>
    text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  for (
    const forged of [
      `${head}.${swap(claims, 20)}.${signature}`,
      `${head}.${claims}.${swap(signature, 20)}`,
      `${head}.${claims}.`,
      `${token}A`,
      ` ${token}`,
      `${token}\ud800`,
    ]
  ) {
    await refusalOf(authenticator, forged);
  }
  assert.equal(await counted(authenticator, "shield_token_cache_tokens"), 1);
});

Deno.test("a refusal is never cached: the same token is verified and refused again", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const forged = await mint(other, {});
  for (let count = 0; count < 3; count++) {
    assert.equal((await refusalOf(authenticator, forged)).reason, "token-unknown-key");
  }
  assert.equal(await verifications(authenticator), 3);
  assert.equal(await counted(authenticator, "shield_token_cache_tokens"), 0);
});

Deno.test("a cached token ends with the token, and the tolerance applies as without the cache", async () => {
  let now_ms = NOW_MS;
  const authenticator = await testAuthenticator(authConfig(), files, () => now_ms);
  const token = await mint(key, { exp: NOW_MS / 1_000 + 60 });
  const first = await authenticator.authenticate(token);
  assert.equal(first.expires_ms, NOW_MS + 60_000);
  now_ms = NOW_MS + 70_000;
  // After its exp only the tolerance admits it, and its connection ends with the tolerance.
  assert.equal((await authenticator.authenticate(token)).expires_ms, NOW_MS + 90_000);
  now_ms = NOW_MS + 90_000;
  assert.equal((await refusalOf(authenticator, token)).reason, "token-expired");
});

Deno.test("thousands of tokens are forgotten in turns with other work, and a token that was verified again stays", async () => {
  const cache = new TokenCache(100_000_000);
  for (let at = 0; at < 10_000; at++) cache.add(`t${at}`, 10, verified("ann", 0, 10));
  const { value, turns } = await turnsDuring(async () => {
    const forgetting = cache.forget(({ user_id }) => user_id === "ann");
    cache.add("t9999", 10, verified("bob", 0, 10));
    return await forgetting;
  });
  assert.deepEqual([value, cache.size], [9_999, 1]);
  assert(turns >= 30, `${turns} turns`);
});

Deno.test("forget also drops tokens that are being verified", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const token = await mint(key);
  const under_way = authenticator.authenticate(token);
  void authenticator.forget(({ user_id }) => user_id === "u1");
  await under_way;
  assert.equal(await counted(authenticator, "shield_token_cache_tokens"), 0);
  await authenticator.authenticate(token);
  assert.equal(await authenticator.forget(({ user_id }) => user_id === "u2"), 0);
  assert.equal(await authenticator.forget(({ user_id }) => user_id === "u1"), 1);
  await authenticator.authenticate(token);
  assert.equal(await verifications(authenticator), 3);
});

Deno.test("beyond token_cache_bytes the most recently used tokens are kept", async () => {
  const authenticator = await testAuthenticator(authConfig(), files, undefined, {
    token_cache_bytes: 10_000,
  });
  const tokens = await Promise.all(
    Array.from({ length: 20 }, (_, index) => mint(key, { sub: `user-${index}` })),
  );
  for (const token of tokens) await authenticator.authenticate(token);
  const kept = await counted(authenticator, "shield_token_cache_tokens");
  assert.ok(kept > 2 && kept < 10, `${kept}`);
  assert.ok(await counted(authenticator, "shield_token_cache_bytes") <= 10_000);
  const misses = await verifications(authenticator);
  await authenticator.authenticate(tokens.at(-1)!);
  assert.equal(await verifications(authenticator), misses);
  await authenticator.authenticate(tokens[0]!);
  assert.equal(await verifications(authenticator), misses + 1);
});

Deno.test("a tenant with more tokens than token_cache_bytes evicts its own, and no other tenant's", async () => {
  const authenticator = await testAuthenticator(authConfig(), files, undefined, {
    token_cache_bytes: 10_000,
  });
  const calm = await mint(key, { tenant_id: "globex" });
  await authenticator.authenticate(calm);
  for (let index = 0; index < 20; index++) {
    await authenticator.authenticate(await mint(key, { sub: `user-${index}` }));
  }
  const misses = await verifications(authenticator);
  await authenticator.authenticate(calm);
  assert.equal(await verifications(authenticator), misses);
});

Deno.test("beyond waiting_verifications an issuer's first tokens pass, the rest gets 'admission', and another issuer's passes", async () => {
  const { issuers: [one] } = authConfig();
  const other = "https://other.example.com";
  const issuers = [one!, { ...one!, issuer: other }];
  const authenticator = await testAuthenticator(authConfig({}, { issuers }), files, undefined, {
    concurrent_verifications: 1,
    waiting_verifications: 4,
  });
  const tokens = await Promise.all(
    Array.from({ length: 12 }, (_, index) => mint(key, { sub: `user-${index}` })),
  );
  // The second one fails, and the next one still gets its place.
  tokens[1] = `${tokens[1]!.slice(0, -9)}AAAAAAAAA`;
  // The last place is for another issuer.
  tokens.push(await mint(key, { sub: "guest", iss: other }));
  const results = await Promise.all(
    tokens.map((token) =>
      authenticator.authenticate(token).then(
        ({ user_id }) => user_id,
        (error) => error as ArqonError,
      )
    ),
  );
  const [first, bad, ...later] = results.slice(0, 4);
  assert.deepEqual([first, ...later], ["user-0", "user-2", "user-3"]);
  assert.equal((bad as ArqonError).reason, "token-signature");
  assert.equal(results.pop(), "guest");
  const refused = results.slice(4).filter((result) => result instanceof ArqonError);
  assert.equal(refused.length, 8);
  for (const error of refused) {
    assert.deepEqual([error.code, error.reason], [503, "admission"]);
    assert.ok(error.retry_after_ms >= 250 && error.retry_after_ms < 750);
  }
  assert.ok(new Set(refused.map(({ retry_after_ms }) => retry_after_ms)).size > 1);
  assert.equal((await authenticator.authenticate(tokens[11]!)).user_id, "user-11");
});

Deno.test("a refusal gives the reason, and neither the token nor a library", () => {
  const cases: [Error, string, RegExp][] = [
    [new errors.JWSSignatureVerificationFailed("eyJ"), "token-signature", /signature is not by/],
    [new errors.JWSInvalid("eyJ"), "token-malformed", /not a signed JWT/],
    [new errors.JOSEAlgNotAllowed("eyJ"), "token-algorithm", /algorithm that its issuer/],
    [new errors.JWKSMultipleMatchingKeys("eyJ"), "token-unknown-key", /no key, or several/],
  ];
  for (const [error, reason, text] of cases) {
    const refusal = tokenRefusal(error) ?? assert.fail(reason);
    assert.equal(refusal.reason, reason);
    assert.match(refusal.message, text);
    assert.doesNotMatch(refusal.message, /jose|eyJ/i);
  }
});
