/** Signed tokens with duplicate or impossible claims; each is refused, whoever signed it. */
import assert from "node:assert/strict";
import type { Reason } from "@arqon/proto";
import {
  authConfig,
  goodClaims,
  ISSUER,
  jwksText,
  makeTestKey,
  mint,
  refusalOf,
  sign,
  testAuthenticator,
} from "./testing/issuer.ts";

const rsa = await makeTestKey("RS256", "rsa-1");
const edwards = await makeTestKey("EdDSA", "ed-1");
const header = { alg: "RS256", kid: "rsa-1", typ: "JWT" };

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
