/**
 * Every known way to forge or damage a token, with the exact reason of its refusal. Signed tokens with duplicate or
 * impossible claims; each is refused, whoever signed it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, type Reason } from "@arqon/proto";
import { anyCharacter } from "../../shared/testing/any_character.ts";
import {
  authConfig,
  base64url,
  goodClaims,
  ISSUER,
  jwksText,
  makeTestKey,
  mint,
  NOW_SECONDS,
  refusalOf,
  sign,
  testAuthenticator,
} from "./testing/issuer.ts";

const rsa = await makeTestKey("RS256", "rsa-1");
const second = await makeTestKey("RS256", "rsa-2");
const stranger = await makeTestKey("RS256", "rsa-1");
const curve = await makeTestKey("ES256", "ec-1");
const edwards = await makeTestKey("EdDSA", "ed-1");
const files = { "jwks.json": jwksText(rsa, second, curve, edwards) };
const header = { alg: "RS256", kid: "rsa-1", typ: "JWT" };

async function hmac(secret: string | Uint8Array<ArrayBuffer>, algorithm: unknown): Promise<string> {
  const raw = typeof secret === "string" ? new TextEncoder().encode(secret) : secret;
  const hash = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", raw, hash, false, ["sign"]);
  const input = `${base64url({ ...header, alg: algorithm })}.${base64url(goodClaims())}`;
  const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(input));
  return `${input}.${new Uint8Array(mac).toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

function unsigned(alg: unknown): string {
  return `${base64url({ ...header, alg })}.${base64url(goodClaims())}.`;
}

function withHeader(change: Record<string, unknown>): Promise<string> {
  return sign(rsa, { ...header, ...change }, goodClaims());
}

/** `token` with another payload under the same signature. */
async function swapped(change: Record<string, unknown>): Promise<string> {
  const [head, , signature] = (await mint(rsa)).split(".");
  return `${head}.${base64url({ ...goodClaims(), ...change })}.${signature}`;
}

const good = await mint(rsa);
const [goodHeader = "", goodPayload = "", goodSignature = ""] = good.split(".");
const spki = Uint8Array.fromBase64(rsa.public_pem.replace(/-----[^-]+-----|\s/g, ""));

/** With the reason of the refusal; none: `token-claim`. */
const FORGED: readonly (readonly [name: string, token: string, reason?: Reason])[] = [
  ["empty", "", "token-missing"],
  ["garbage", "not a token", "token-malformed"],
  ["one part", "abc", "token-malformed"],
  ["two parts", `${goodHeader}.${goodPayload}`, "token-malformed"],
  ["four parts", `${good}.AAAA`, "token-malformed"],
  ["five parts (encrypted)", `${goodHeader}.a.b.c.d`, "token-malformed"],
  ["only dots", "..", "token-malformed"],
  ["padding", `${good}==`, "token-malformed"],
  ["white space inside", `${goodHeader}.${goodPayload} .${goodSignature}`, "token-malformed"],
  ["a line break after it", `${good}\n`, "token-malformed"],
  ["NUL in it", `${good}\0`, "token-malformed"],
  ["not ASCII", `${goodHeader}.${goodPayload}.größe🙂`, "token-malformed"],
  ["a lone surrogate", `${goodHeader}.${goodPayload}.\ud800`, "token-malformed"],
  ["look-alike letters", good.replace("e", "е"), "token-malformed"],
  ["header not JSON", `${base64url("{")}.${goodPayload}.${goodSignature}`, "token-malformed"],
  ["header an array", `${base64url([])}.${goodPayload}.${goodSignature}`, "token-malformed"],
  ["header null", `${base64url(null)}.${goodPayload}.${goodSignature}`, "token-malformed"],
  ["header not UTF-8", `_____w.${goodPayload}.${goodSignature}`, "token-malformed"],
  ["payload not JSON", await sign(rsa, header, "nope"), "token-malformed"],
  ["payload a string", await sign(rsa, header, '"text"'), "token-malformed"],
  ["payload an array", await sign(rsa, header, [goodClaims()]), "token-malformed"],
  ["payload nested deeply", await sign(rsa, header, "[".repeat(2_000)), "token-malformed"],
  ["a JWS in JSON form", JSON.stringify({ payload: goodPayload }), "token-malformed"],
  ["oversized", "a".repeat(4_097), "token-too-large"],
  ["oversized though signed", await mint(rsa, { note: "x".repeat(4_096) }), "token-too-large"],

  ["alg none", unsigned("none"), "token-algorithm"],
  ["alg None", unsigned("None"), "token-algorithm"],
  ["alg none with a signature", `${unsigned("none")}${goodSignature}`, "token-algorithm"],
  ["alg with control characters", unsigned("RS256\n"), "token-algorithm"],
  ["alg missing", unsigned(undefined), "token-malformed"],
  ["alg a number", unsigned(256), "token-malformed"],
  ["alg an array", unsigned(["RS256"]), "token-malformed"],
  ["alg of every object", unsigned("constructor"), "token-algorithm"],
  ["HMAC with the public PEM", await hmac(rsa.public_pem, "HS256"), "token-algorithm"],
  ["HMAC with the trimmed PEM", await hmac(rsa.public_pem.trim(), "HS256"), "token-algorithm"],
  ["HMAC with the public DER", await hmac(spki, "HS256"), "token-algorithm"],
  ["HMAC with the JWK", await hmac(JSON.stringify(rsa.public_jwk), "HS512"), "token-algorithm"],
  ["HMAC that says RS256", await hmac(rsa.public_pem, "RS256"), "token-signature"],
  ["RS512", unsigned("RS512"), "token-algorithm"],
  ["PS256", unsigned("PS256"), "token-algorithm"],
  ["ES256 where the issuer lists RS256 only", await mint(curve), "token-algorithm"],
  ["EdDSA where the issuer lists RS256 only", await mint(edwards), "token-algorithm"],

  ["unknown kid", await withHeader({ kid: "rsa-3" }), "token-unknown-key"],
  ["empty kid", await withHeader({ kid: "" }), "token-unknown-key"],
  ["kid a path", await withHeader({ kid: "../../dev/null" }), "token-unknown-key"],
  ["kid of another algorithm's key", await withHeader({ kid: "ec-1" }), "token-unknown-key"],
  ["no kid with several keys", await withHeader({ kid: undefined }), "token-unknown-key"],
  ["kid a number", await withHeader({ kid: 1 }), "token-malformed"],
  ["kid null", await withHeader({ kid: null }), "token-malformed"],
  ["kid very long", await withHeader({ kid: "k".repeat(257) }), "token-malformed"],
  ["kid of every object", await withHeader({ kid: "__proto__" }), "token-unknown-key"],
  ["another key under a known kid", await mint(stranger), "token-signature"],
  ["another known key's kid", await withHeader({ kid: "rsa-2" }), "token-signature"],
  [
    "its own key in jwk",
    await sign(stranger, { ...header, jwk: stranger.public_jwk }, goodClaims()),
    "token-signature",
  ],
  [
    "its own key in jku",
    await sign(stranger, { ...header, jku: "http://127.0.0.1:1/jwks" }, goodClaims()),
    "token-signature",
  ],
  [
    "its own key in x5u",
    await sign(stranger, { ...header, x5u: "http://127.0.0.1:1/x5u" }, goodClaims()),
    "token-signature",
  ],
  ["crit unknown", await withHeader({ crit: ["exp2"], exp2: 1 }), "token-malformed"],
  ["crit empty", await withHeader({ crit: [] }), "token-malformed"],
  ["crit b64, though honoured", await withHeader({ crit: ["b64"], b64: true }), "token-malformed"],
  ["crit null", await withHeader({ crit: null }), "token-malformed"],
  [
    "crit b64 with an unencoded payload",
    await withHeader({ crit: ["b64"], b64: false }),
    "token-malformed",
  ],

  ["no signature", `${goodHeader}.${goodPayload}.`, "token-signature"],
  ["a short signature", `${goodHeader}.${goodPayload}.AAAA`, "token-signature"],
  ["a broken base64url signature", `${goodHeader}.${goodPayload}.A`, "token-malformed"],
  ["another user under the signature", await swapped({ sub: "u2" }), "token-signature"],
  ["admin under the signature", await swapped({ role: "admin" }), "token-signature"],
  [
    "a later exp under the signature",
    await swapped({ exp: NOW_SECONDS + 9_999 }),
    "token-signature",
  ],
  ["expired and forged", await swapped({ exp: 1 }), "token-signature"],

  ["no iss", await mint(rsa, { iss: undefined })],
  ["iss a number", await mint(rsa, { iss: 1 })],
  ["iss an array", await mint(rsa, { iss: [ISSUER] })],
  ["wrong iss", await mint(rsa, { iss: "https://evil.example.com" }), "token-issuer"],
  ["iss with a slash more", await mint(rsa, { iss: `${ISSUER}/` }), "token-issuer"],
  ["sub of a Pusher app's backend", await mint(rsa, { sub: "pusher:app:1" })],
  ["sub of a Centrifugo backend", await mint(rsa, { sub: "centrifugo:api" })],
  ["iss of every object", await mint(rsa, { iss: "__proto__" }), "token-issuer"],
  ["no aud", await mint(rsa, { aud: undefined })],
  ["aud a number", await mint(rsa, { aud: 1 })],
  ["aud with a number in it", await mint(rsa, { aud: ["other", 1] })],
  ["wrong aud", await mint(rsa, { aud: "other" }), "token-audience"],
  ["aud in other case", await mint(rsa, { aud: "ARQON" }), "token-audience"],
  ["aud an empty list", await mint(rsa, { aud: [] }), "token-audience"],
  ["wrong aud list", await mint(rsa, { aud: ["other", "another"] }), "token-audience"],
  ["no exp", await mint(rsa, { exp: undefined })],
  ["exp a string", await mint(rsa, { exp: "9999999999" })],
  ["exp null", await mint(rsa, { exp: null })],
  [
    "exp infinite",
    await sign(rsa, header, JSON.stringify(goodClaims()).replace(/"exp":\d+/, '"exp":1e999')),
  ],
  ["exp beyond every date", await mint(rsa, { exp: 1e15 })],
  ["expired", await mint(rsa, { exp: NOW_SECONDS - 30 }), "token-expired"],
  ["expired long ago", await mint(rsa, { exp: 0 }), "token-expired"],
  ["exp negative", await mint(rsa, { exp: -1 }), "token-expired"],
  ["nbf in the future", await mint(rsa, { nbf: NOW_SECONDS + 31 }), "token-not-yet-valid"],
  ["nbf a string", await mint(rsa, { nbf: "soon" })],
  ["iat a string", await mint(rsa, { iat: "now" })],
  ["no sub", await mint(rsa, { sub: undefined })],
  ["sub a number", await mint(rsa, { sub: 7 })],
  ["sub empty", await mint(rsa, { sub: "" })],
  ["sub too long", await mint(rsa, { sub: "é".repeat(65) })],
  ["sub with a line break", await mint(rsa, { sub: "u1\nadmin" })],
  ["sub with NUL", await mint(rsa, { sub: "u1\0" })],
  ["sub that turns text around", await mint(rsa, { sub: "u\u202e1" })],
  [
    "sub with a lone surrogate",
    await sign(rsa, header, JSON.stringify(goodClaims()).replace('"u1"', '"\\ud800"')),
  ],
  ["no tenant_id", await mint(rsa, { tenant_id: undefined })],
  ["tenant_id null", await mint(rsa, { tenant_id: null })],
  ["tenant_id a list", await mint(rsa, { tenant_id: ["acme"] })],
  ["tenant_id a wildcard", await mint(rsa, { tenant_id: "*" })],
  ["tenant_id with a dot", await mint(rsa, { tenant_id: "acme.r.x" })],
  ["tenant_id of 65 bytes", await mint(rsa, { tenant_id: "a".repeat(65) })],
  [
    "a tenant the issuer may not vouch for",
    await mint(rsa, { tenant_id: "initech" }),
    "token-scope",
  ],
  ["no role", await mint(rsa, { role: undefined })],
  ["unknown role", await mint(rsa, { role: "root" })],
  ["role a list", await mint(rsa, { role: ["user"] })],
  ["role of every object", await mint(rsa, { role: "toString" })],
  ["a role the issuer may not vouch for", await mint(rsa, { role: "admin" }), "token-scope"],
  ["jti a number", await mint(rsa, { jti: 1 })],
  ["jti empty", await mint(rsa, { jti: "" })],
  ["grants null", await mint(rsa, { grants: null })],
  ["grants an object", await mint(rsa, { grants: {} })],
  ["a grant that is a string", await mint(rsa, { grants: ["chat-*"] })],
  ["a grant without a room", await mint(rsa, { grants: [{ actions: [] }] })],
  ["a grant with a bad room", await mint(rsa, { grants: [{ room: "a.b", actions: [] }] })],
  ["a grant with two stars", await mint(rsa, { grants: [{ room: "a**", actions: [] }] })],
  ["a grant without actions", await mint(rsa, { grants: [{ room: "*" }] })],
  [
    "a grant with an unknown action",
    await mint(rsa, { grants: [{ room: "*", actions: ["own"] }] }),
  ],
  ["too many grants", await mint(rsa, { grants: Array(65).fill({ room: "a", actions: [] }) })],
  ["cnf a string", await mint(rsa, { cnf: "key" })],
  ["cnf.jwk null", await mint(rsa, { cnf: { jwk: null } })],
  ["cnf.jwk an RSA key", await mint(rsa, { cnf: { jwk: { kty: "RSA", e: "AQAB" } } })],
  [
    "cnf.jwk too short",
    await mint(rsa, { cnf: { jwk: { kty: "OKP", crv: "Ed25519", x: "AAAA" } } }),
  ],
  [
    "cnf.jwk not base64url",
    await mint(rsa, { cnf: { jwk: { kty: "OKP", crv: "Ed25519", x: "+/==" } } }),
  ],
  ["cnf.jwk private", await mint(rsa, { cnf: { jwk: { ...edwards.public_jwk, d: "AAAA" } } })],
];

Deno.test("a good token passes, so the forged ones fail for their own faults", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const identity = await authenticator.authenticate(good);
  assert.equal(identity.user_id, "u1");
  // The header's jwk and jku are never trusted, and are not a reason to refuse a correctly signed token.
  const extra = { jwk: stranger.public_jwk, jku: "http://127.0.0.1:1/jwks" };
  assert.equal((await authenticator.authenticate(await withHeader(extra))).user_id, "u1");
});

Deno.test("every forged token is refused with 401 and its exact reason", async (test) => {
  const authenticator = await testAuthenticator(authConfig(), files);
  for (const [name, token, reason = "token-claim"] of FORGED) {
    await test.step(name, async () => {
      const error = await refusalOf(authenticator, token);
      assert.deepEqual([error.reason, error.code], [reason, 401]);
      assert.equal(error.cause, undefined);
      assert.doesNotMatch(error.message, /\p{C}/u);
      for (const part of token.split(".").filter((text) => text.length > 16)) {
        assert.ok(!error.message.includes(part), "the message quotes the token");
      }
    });
  }
  assert.deepEqual(authenticator.lines, [], "a bad token writes nothing to the log");
});

Deno.test("an issuer that is not trusted is named, bounded and in ASCII", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const iss = `a"b\u202e\u0007${"x".repeat(1_000)}`;
  const { message } = await refusalOf(authenticator, await mint(rsa, { iss }));
  const shown = `${String.raw`"a\"b\u202e\u0007`}${"x".repeat(95)}"...`;
  assert.equal(message, `Token issuer: ${shown} is not trusted`);
});

Deno.test("whatever the bytes, a token is an identity, a 401 or a 503", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const segment = fc.oneof(
    fc.string({ unit: anyCharacter }),
    fc.json().map(base64url),
    fc.constantFrom(goodHeader, goodPayload, goodSignature),
    fc.uint8Array().map((bytes) => bytes.toBase64({ alphabet: "base64url", omitPadding: true })),
  );
  const tokens = fc.oneof(
    fc.string({ unit: anyCharacter }),
    fc.array(segment, { maxLength: 6 }).map((parts) => parts.join(".")),
    fc.record({ at: fc.nat(good.length - 1), with: fc.string({ minLength: 1, maxLength: 1 }) })
      .map((edit) => good.slice(0, edit.at) + edit.with + good.slice(edit.at + 1)),
  );
  await fc.assert(
    fc.asyncProperty(tokens, async (token) => {
      if (token === good) return;
      const signature = token.startsWith(`${goodHeader}.${goodPayload}.`);
      const result = await authenticator.authenticate(token).catch((error: unknown) => error);
      // base64url has unused bits in its last character, so the same signature can have several texts.
      if (signature && !(result instanceof Error)) return;
      assert.ok(result instanceof ArqonError);
      assert.ok(result.code === 401 || result.code === 503);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("whatever the claims, a signed token is an identity, a 401 or a 503", async () => {
  const authenticator = await testAuthenticator(authConfig(), files);
  const names = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sub",
    "tenant_id",
    "role",
    "jti",
    "cnf",
    "grants",
  ];
  const change = fc.dictionary(fc.constantFrom(...names), fc.jsonValue(), { maxKeys: 2 });
  await fc.assert(
    fc.asyncProperty(change, fc.dictionary(fc.string(), fc.jsonValue()), async (claims, extra) => {
      const token = await sign(rsa, { ...extra, ...header }, { ...goodClaims(), ...claims });
      const result = await authenticator.authenticate(token).catch((error: unknown) => error);
      if (!(result instanceof Error)) return;
      assert.ok(result instanceof ArqonError);
      assert.ok(result.code === 401 || result.code === 503);
    }),
    { numRuns: 150 },
  );
  assert.deepEqual(authenticator.lines, [], "no token makes verification fail unexpectedly");
});

/** The good claims as JSON text, with `more` written in before the end. */
function claimsWith(more: string, change: Record<string, unknown> = {}): string {
  return `${JSON.stringify({ ...goodClaims(), ...change }).slice(0, -1)},${more}}`;
}

const confirmed = (jwk: unknown) => mint(rsa, { cnf: { jwk } });
const okp = (hex: string, more: Record<string, unknown> = {}) => {
  const x = Uint8Array.fromHex(hex).toBase64({ alphabet: "base64url", omitPadding: true });
  return confirmed({ kty: "OKP", crv: "Ed25519", x, ...more });
};
const GOOD_X = edwards.public_jwk.x ?? "";
const ZERO = "00".repeat(31);

/** Duplicate or impossible claims; keys that prove nothing. No reason: `token-claim`. */
const AMBIGUOUS: readonly (readonly [name: string, token: string, reason?: Reason])[] = [
  ["aud with the right one and a number", await mint(rsa, { aud: ["arqon", 1] })],
  ["aud with the right one and null", await mint(rsa, { aud: ["arqon", null] })],
  ["aud with a list in it", await mint(rsa, { aud: ["arqon", ["arqon"]] })],
  ["nbf minus infinite", await sign(rsa, header, claimsWith('"nbf":-1e309'))],
  ["iat infinite", await sign(rsa, header, claimsWith('"iat":1e309'))],
  ["iat minus infinite", await sign(rsa, header, claimsWith('"iat":-1e309'))],
  ["iat beyond every date", await mint(rsa, { iat: 1e300 })],
  ["an infinite number elsewhere", await sign(rsa, header, claimsWith('"x":[1e309]'))],
  ["sub twice", await sign(rsa, header, claimsWith('"sub":"u2"'))],
  ["sub twice, the same", await sign(rsa, header, claimsWith('"sub":"u1"'))],
  ["sub twice, once escaped", await sign(rsa, header, claimsWith('"s\\u0075b":"u2"'))],
  ["role twice", await sign(rsa, header, claimsWith('"role":"user"', { role: "user" }))],
  ["tenant_id twice", await sign(rsa, header, claimsWith('"tenant_id":"globex"'))],
  ["exp twice", await sign(rsa, header, claimsWith('"exp":9999999999'))],
  ["iss twice", await sign(rsa, header, claimsWith(`"iss":${JSON.stringify(ISSUER)}`))],
  [
    "a grant's room twice",
    await sign(rsa, header, claimsWith('"grants":[{"room":"a","actions":[],"room":"*"}]')),
  ],
  ["an unknown claim twice", await sign(rsa, header, claimsWith('"a":1,"a":1'))],
  [
    "the header's kid twice",
    await sign(rsa, '{"alg":"RS256","kid":"rsa-2","kid":"rsa-1"}', goodClaims()),
    "token-malformed",
  ],
  ["cnf.jwk of order 1", await okp(`01${ZERO}`)],
  ["cnf.jwk of order 4", await okp(`00${ZERO}`)],
  ["cnf.jwk of order 4, other sign", await okp(`${ZERO}80`)],
  ["cnf.jwk of order 2", await okp(`ec${"ff".repeat(30)}7f`)],
  [
    "cnf.jwk of order 8",
    await okp("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
  ],
  [
    "cnf.jwk of order 8, other y and sign",
    await okp("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
  ],
  ["cnf.jwk of order 1, not canonical", await okp(`ee${"ff".repeat(30)}7f`)],
  ["cnf.jwk not on the curve", await okp(`02${ZERO}`)],
  [
    "cnf.jwk with bits that count for nothing",
    await confirmed({ kty: "OKP", crv: "Ed25519", x: `${GOOD_X.slice(0, -1)}B` }),
  ],
  ["cnf.jwk for encryption", await confirmed({ ...edwards.public_jwk, use: "enc" })],
  ["cnf.jwk of another algorithm", await confirmed({ ...edwards.public_jwk, alg: "ES256" })],
  ["cnf.jwk that may not verify", await confirmed({ ...edwards.public_jwk, key_ops: ["sign"] })],
];

Deno.test("a signed token that says two things, or what cannot be, is refused with 401", async (test) => {
  const authenticator = await testAuthenticator(authConfig(), { "jwks.json": jwksText(rsa) });
  for (const [name, token, reason = "token-claim"] of AMBIGUOUS) {
    await test.step(name, async () => {
      const error = await refusalOf(authenticator, token);
      assert.deepEqual([error.reason, error.code], [reason, 401]);
      assert.doesNotMatch(error.message, /[^ -~]/);
    });
  }
  assert.deepEqual(authenticator.lines, [], "a bad token writes nothing to the log");
});

Deno.test("an odd but unambiguous token is good", async () => {
  const authenticator = await testAuthenticator(authConfig(), { "jwks.json": jwksText(rsa) });
  const good: readonly string[] = [
    await mint(rsa, { aud: ["other", "arqon"] }),
    await mint(rsa, { nbf: 0, iat: 1.5 }),
    await mint(rsa, { x: { sub: "u2", x: { x: 1 } }, sub: "u1" }),
    await confirmed({ ...edwards.public_jwk, key_ops: ["verify"] }),
    await confirmed({ ...edwards.public_jwk, alg: "Ed25519" }),
  ];
  for (const token of good) assert.equal((await authenticator.authenticate(token)).user_id, "u1");
});
