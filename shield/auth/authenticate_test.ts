/**
 * Valid tokens and their limits: claims, times, sizes, metrics. Forged tokens are in `authenticate_forgery_test.ts`.
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
  testAuthenticator,
} from "./testing/issuer.ts";

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
