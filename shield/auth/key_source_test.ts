/**
 * Keys from files: the tokens that they verify, and start errors with what is expected. `jwks/remote_keys_test.ts`
 * tests keys by URL.
 */
import assert from "node:assert/strict";
import { exportPKCS8 } from "@panva/jose";
import { ConfigError, configFrom } from "../../shared/config/load.ts";
import { openKeySource } from "./key_source.ts";
import {
  AUDIENCE,
  authConfig,
  goodClaims,
  ISSUER,
  jwksText,
  makeTestKey,
  mint,
  sign,
  testAuthenticator,
} from "./testing/issuer.ts";

const rsa = await makeTestKey("RS256", "r1");
const curve = await makeTestKey("ES256", "e1");
const edwards = await makeTestKey("EdDSA", "d1");

/** A certificate made by openssl, and a token signed with its discarded key. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgjCCASegAwIBAgIUSDJ2OVOznJQKLAPrI7k33OAS/WwwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKYXJxb24tdGVzdDAgFw0yNjExMjAwNzQxMDNaGA8yMTI2MTAy
NzA3NDEwM1owFTETMBEGA1UEAwwKYXJxb24tdGVzdDBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABNajVG1SG5WnVW0LQInb0jx+gPktU+SoiggsPBomL7BlT+Vtwz0E
4/tf0VhRFk/gVlZo/39sZdqWI8hG3Qz4SYWjUzBRMB0GA1UdDgQWBBQluB5qGvMU
8Kz71PnepAnOEwqhyTAfBgNVHSMEGDAWgBQluB5qGvMU8Kz71PnepAnOEwqhyTAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCQ23RnzIGRTtL6EzB+
iRtiv3TVWMibemDCkCnRMHqJPwIhAOVDnBElkJyzLAPyG8RBHPOXgrTZPRsrTbq2
H5fwBFRt
-----END CERTIFICATE-----`;
const CERTIFIED_TOKEN = [
  "eyJhbGciOiJFUzI1NiJ9",
  "eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoiYXJxb24iLCJleHAiOjE3NjczMjY2NDUsInN1YiI6InUxIiwidGVuYW50X2lkIjoiYWNtZSIsInJvbGUiOiJ1c2VyIn0",
  "taii_Zzx7rb_Zmo6NwCjEPrZJ3kQmoVcoxZmdVtMISoftOBoc51hlFPYa5i5ISnr8BkpYzjtqchN0kuhxrSugA",
].join(".");

Deno.test("a PEM public key verifies tokens of its algorithm, whatever their kid", async () => {
  for (const key of [rsa, curve, edwards]) {
    const auth = authConfig({ pem_file: "k.pem", algorithms: ["RS256", "ES256", "EdDSA"] });
    const authenticator = await testAuthenticator(auth, { "k.pem": key.public_pem });
    assert.equal((await authenticator.authenticate(await mint(key))).user_id, "u1");
    const without = await sign(key, { alg: key.alg }, goodClaims());
    assert.equal((await authenticator.authenticate(without)).user_id, "u1");
    const other = key === rsa ? curve : rsa;
    await assert.rejects(authenticator.authenticate(await mint(other)), {
      reason: "token-unknown-key",
    });
  }
});

Deno.test("key files are read again with the configuration: a removed key verifies nothing, and an invalid file changes nothing", async () => {
  const old = await makeTestKey("RS256", "old");
  const next = await makeTestKey("RS256", "next");
  const files: Record<string, string> = { "jwks.json": jwksText(old) };
  let read: (() => Promise<readonly string[]>) | undefined;
  const onRead = (reader: typeof read) => void (read = reader);
  const authenticator = await testAuthenticator(authConfig({}), files, undefined, {}, { onRead });
  const user = async (key: typeof old) =>
    await authenticator.authenticate(await mint(key)).then(
      ({ user_id }) => user_id,
      ({ reason }) => reason,
    );
  assert.deepEqual([await user(old), await read?.()], ["u1", []]);
  files["jwks.json"] = jwksText(next);
  assert.equal(await user(old), "u1");
  assert.deepEqual(await read?.(), ["auth.issuers[0].jwks_file"]);
  assert.deepEqual([await user(old), await user(next)], ["token-unknown-key", "u1"]);
  files["jwks.json"] = '{"keys":[]}';
  await assert.rejects(async () => await read?.(), /auth\.issuers\[0\]\.jwks_file.*has no key/);
  assert.equal(await user(next), "u1");
});

Deno.test("a PEM certificate verifies tokens, also with text before it", async () => {
  const auth = authConfig({ pem_file: "c.pem", algorithms: ["RS256", "ES256"] });
  const text = `subject=CN = arqon-test\r\n${CERTIFICATE.replaceAll("\n", "\r\n")}\r\n`;
  const authenticator = await testAuthenticator(auth, { "c.pem": text });
  assert.equal((await authenticator.authenticate(CERTIFIED_TOKEN)).user_id, "u1");
  await assert.rejects(authenticator.authenticate(await mint(curve)), {
    reason: "token-signature",
  });
  assert.deepEqual(authenticator.keyStatus()[0]?.source, "pem_file");
});

Deno.test("a JWKS file verifies each listed algorithm by kid; a lone key needs no kid", async () => {
  const auth = authConfig({ algorithms: ["RS256", "ES256", "EdDSA"] });
  const files = { "jwks.json": jwksText(rsa, curve, edwards) };
  const authenticator = await testAuthenticator(auth, files);
  for (const key of [rsa, curve, edwards]) {
    assert.equal((await authenticator.authenticate(await mint(key))).tenant_id, "acme");
    const without = await sign(key, { alg: key.alg }, goodClaims());
    assert.equal((await authenticator.authenticate(without)).tenant_id, "acme");
  }
});

const huge = { kty: "RSA", kid: "h", e: "AQAB", n: "x".repeat(1_400) };
const others = [{ ...rsa.public_jwk, alg: "RS512" }, { ...rsa.public_jwk, key_ops: ["sign"] }];
const weak = { kty: "RSA", kid: "w", e: "AQAB", n: "x".repeat(171) };
const pkcs8 = await exportPKCS8(rsa.private_key);

const BAD_FILES:
  readonly (readonly [name: string, key: "jwks_file" | "pem_file", text: string, wrong: RegExp])[] =
    [
      ["no JSON", "jwks_file", rsa.public_pem, /not JSON; expected a JWK set/],
      ["one bare JWK", "jwks_file", JSON.stringify(rsa.public_jwk), /expected a JWK set: \{"keys"/],
      ["keys not objects", "jwks_file", '{"keys":[1]}', /expected a JWK set/],
      ["an empty set", "jwks_file", '{"keys":[]}', /has no key for RS256; add one/],
      ["only other algorithms", "jwks_file", jwksText(curve), /has no key for RS256/],
      [
        "RS512 or signing only",
        "jwks_file",
        JSON.stringify({ keys: others }),
        /has no key for RS256/,
      ],
      ["a huge key", "jwks_file", JSON.stringify({ keys: [huge] }), /bits; expected 2048 to 8192/],
      [
        "a private key",
        "jwks_file",
        JSON.stringify({ keys: [{ ...rsa.public_jwk, d: "AA" }] }),
        /private key; remove "d"/,
      ],
      [
        "a symmetric key",
        "jwks_file",
        '{"keys":[{"kty":"oct","k":"AAAA"}]}',
        /is symmetric; expected a public/,
      ],
      [
        "a weak key",
        "jwks_file",
        JSON.stringify({ keys: [weak, rsa.public_jwk] }),
        /10\d\d bits; expected 2048/,
      ],
      ["a broken key", "jwks_file", '{"keys":[{"kty":"RSA","n":"AQ"}]}', /not a valid RSA key/],
      ["a kid twice", "jwks_file", jwksText(rsa, rsa), /key 2 \("r1"\) repeats a kid of RS256/],
      [
        "a kid that is a number",
        "jwks_file",
        JSON.stringify({ keys: [{ ...rsa.public_jwk, kid: 1 }] }),
        /kid that is not a string/,
      ],
      [
        "65 keys",
        "jwks_file",
        JSON.stringify({ keys: Array(65).fill(curve.public_jwk) }),
        /has 65 keys; at most 64/,
      ],
      ["no PEM", "pem_file", "hello", /not PEM; expected one "-----BEGIN PUBLIC KEY-----"/],
      ["a private PEM", "pem_file", pkcs8, /private key; give only the public half: openssl pkey/],
      ["a PKCS#1 PEM", "pem_file", "-----BEGIN RSA PUBLIC KEY-----\n", /PKCS#1 key; convert it/],
      ["another block", "pem_file", "-----BEGIN X509 CRL-----\n", /a block "X509 CRL"; expected/],
      ["two blocks", "pem_file", rsa.public_pem + "\n" + rsa.public_pem, /has 2 blocks/],
      [
        "a broken PEM",
        "pem_file",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        /does not fit/,
      ],
      [
        "a PEM of another algorithm",
        "pem_file",
        curve.public_pem,
        /does not fit the issuer's algorithms \(RS256\)/,
      ],
    ];

Deno.test("an invalid key file stops the start, with its config key, its name and what is expected", async (test) => {
  for (const [name, key, text, wrong] of BAD_FILES) {
    await test.step(name, async () => {
      const auth = authConfig({ [key]: "/etc/arqon/the-file" });
      const start = testAuthenticator(auth, { "/etc/arqon/the-file": text });
      const error = await start.then(() => undefined, (caught: unknown) => caught);
      assert.ok(error instanceof ConfigError, String(error));
      assert.match(error.message, wrong);
      assert.ok(error.message.includes(`auth.issuers[0].${key}: "/etc/arqon/the-file"`));
      assert.ok(!error.message.includes(pkcs8.slice(40, 80)), "key material in the message");
    });
  }
});

Deno.test("every issuer whose keys cannot be loaded is reported, not only the first", async () => {
  const entry = { audience: AUDIENCE, tenants: ["*"] };
  const { auth } = configFrom({
    auth: {
      issuers: [
        { ...entry, issuer: ISSUER, jwks_file: "jwks.json" },
        { ...entry, issuer: "https://b.example", pem_file: "absent.pem" },
        { ...entry, issuer: "https://c.example", jwks_url: "https://u:secret@c.example/jwks" },
      ],
    },
  });
  const start = testAuthenticator(auth, { "jwks.json": jwksText(rsa) });
  await assert.rejects(start, (error: Error) => {
    assert.match(error.message, /auth\.issuers\[1\]\.pem_file: "absent.pem" cannot be read/);
    assert.match(error.message, /auth\.issuers\[2\]\.jwks_url: .* user name or password/);
    assert.ok(!error.message.includes("secret"), "the password is shown");
    return error instanceof ConfigError;
  });
});

Deno.test("without issuers every token is refused", async () => {
  const authenticator = await testAuthenticator(configFrom({}).auth, {});
  await assert.rejects(authenticator.authenticate(await mint(rsa)), { reason: "token-issuer" });
});

Deno.test("without the capability that fetches key sets, an issuer with a URL stops the start", async () => {
  const [issuer] = authConfig({ jwks_url: "https://id.example.com/jwks" }).issuers;
  const opening = openKeySource(issuer!, 0, { now: Date.now, readTextFile: () => "" });
  await assert.rejects(opening, /auth\.issuers\[0\]\.jwks_url.*this Shield fetches no key sets/);
});
