// Options become claims, keys become tokens that jose verifies. `usage_test.ts` has the commands.
import assert from "node:assert/strict";
import { createLocalJWKSet, decodeProtectedHeader, type JWK, jwtVerify } from "@panva/jose";
import { CommandError, EXIT } from "../terminal/exit.ts";
import {
  algorithmOf,
  ALGORITHMS,
  newKeyPair,
  parseGrant,
  parsePrivateKey,
  parseSeconds,
  signToken,
} from "./token.ts";

const usage = (error: unknown) => error instanceof CommandError && error.exit_code === EXIT.usage;

Deno.test("--ttl accepts seconds and units, and errors name valid values", () => {
  assert.deepEqual(["3600", "90s", "15m", "1h", "7d"].map((text) => parseSeconds("--ttl", text)), [
    3_600,
    90,
    900,
    3_600,
    604_800,
  ]);
  for (const wrong of ["", "0", "-1", "1.5h", "1w", "h", "99999d", "1 h"]) {
    assert.throws(() => parseSeconds("--ttl", wrong), usage, wrong);
  }
});

Deno.test("--grant accepts a room pattern and actions; a room may contain colons", () => {
  assert.deepEqual(parseGrant("chat-*:publish,subscribe"), {
    room: "chat-*",
    actions: ["publish", "subscribe"],
  });
  assert.deepEqual(parseGrant("lobby").actions.length, 4);
  assert.deepEqual(parseGrant("a:b:command"), { room: "a:b", actions: ["command"] });
  for (const wrong of ["", "a.b:publish", "lobby:fly", "lobby:", "*x:publish", ":publish"]) {
    assert.throws(() => parseGrant(wrong), usage, wrong);
  }
});

Deno.test("each algorithm makes a key whose token verifies with the public set and has the requested claims", async () => {
  for (const algorithm of ALGORITHMS) {
    const { private_jwk, public_jwk } = await newKeyPair(algorithm);
    assert.ok(!("d" in public_jwk), "nothing private is published");
    assert.equal(algorithmOf(private_jwk), algorithm);
    const claims = {
      issuer: "me",
      audience: "arqon",
      tenant: "acme",
      user: "u1",
      role: "service",
      grants: [parseGrant("chat-*:publish")],
      ttl_seconds: 60,
    } as const;
    const now_ms = Date.now();
    const token = await signToken(private_jwk, claims, now_ms);
    assert.equal(decodeProtectedHeader(token).kid, public_jwk.kid);
    const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: [public_jwk] }), {
      issuer: "me",
      audience: "arqon",
    });
    assert.equal(payload.sub, "u1");
    assert.equal(payload["tenant_id"], "acme");
    assert.equal(payload["role"], "service");
    assert.deepEqual(payload["grants"], [{ room: "chat-*", actions: ["publish"] }]);
    assert.equal(payload.exp, Math.floor(now_ms / 1_000) + 60);
  }
});

Deno.test("a key that cannot sign is refused, and never printed", async () => {
  const claims = {
    issuer: "i",
    audience: "a",
    tenant: "t",
    user: "u",
    role: "user" as const,
    grants: undefined,
    ttl_seconds: 60,
  };
  const short = await crypto.subtle.generateKey(
    {
      name: "RSASSA-PKCS1-v1_5",
      hash: "SHA-256",
      modulusLength: 1_024,
      publicExponent: new Uint8Array([1, 0, 1]),
    },
    true,
    ["sign", "verify"],
  );
  const { private_jwk: rsa } = await newKeyPair("RS256");
  const { private_jwk: ec } = await newKeyPair("ES256");
  const { private_jwk: ed } = await newKeyPair("EdDSA");
  const of_short = await crypto.subtle.exportKey("jwk", short.privateKey) as JWK;
  for (
    const jwk of [
      { ...of_short, alg: "RS256" },
      { ...ec, key_ops: ["verify"] },
      { ...ed, d: "AAAA" },
      { ...rsa, p: "!" },
      { ...rsa, n: undefined },
    ]
  ) {
    await assert.rejects(signToken(jwk as JWK, claims, 0), (error: Error) => {
      assert.match(error.message, /^the key cannot sign: /);
      assert.ok(!error.message.includes(String(jwk.d)), error.message);
      return true;
    });
  }
});

Deno.test("a wrong key file is named, and its content never printed", () => {
  const wrong: [string, RegExp][] = [
    ["secret", /k\.json is not JSON/],
    ["7", /k\.json is not a JWK/],
    ['{"kty":"RSA","n":"secret"}', /k\.json is a public key/],
  ];
  for (const [text, expected] of wrong) {
    assert.throws(() => parsePrivateKey(text, "k.json"), (error: unknown) => {
      assert.ok(error instanceof CommandError);
      assert.match(error.message, expected);
      assert.ok(!error.message.includes("secret"));
      return true;
    });
  }
  assert.throws(() => algorithmOf({ kty: "oct", alg: "HS256" }), /HS256/);
});
