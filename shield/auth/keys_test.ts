/** The keys of a JWK set that may verify, and unusable sets. */
import assert from "node:assert/strict";
import { type Algorithm, keyFromPem, keysFromJwks, UnusableSetError } from "./keys.ts";
import { makeTestKey } from "./testing/issuer.ts";

const ALL: readonly Algorithm[] = ["RS256", "ES256", "EdDSA"];
const rsa = await makeTestKey("RS256", "k");
const curve = await makeTestKey("ES256", "k");
const edwards = await makeTestKey("EdDSA", "k");
const other = await makeTestKey("ES256", "k");

const load = (...keys: readonly unknown[]) => keysFromJwks(JSON.stringify({ keys }), ALL);

Deno.test("alg, use and key_ops of every kind of key count", async (test) => {
  for (const { public_jwk, alg } of [rsa, curve, edwards]) {
    const usable: Record<string, unknown>[] = [
      {},
      { alg: undefined, use: undefined },
      { key_ops: ["verify"] },
      { key_ops: ["sign", "verify"], use: undefined },
    ];
    const useless: Record<string, unknown>[] = [
      { alg: "RS512" },
      { alg: alg === "ES256" ? "ES384" : "ES256" },
      { alg: "ECDH-ES" },
      { alg: null },
      { alg: [alg] },
      { alg: "" },
      { use: "enc" },
      { use: null },
      { key_ops: ["sign"] },
      { key_ops: [] },
      { key_ops: "verify" },
      { key_ops: null },
      { key_ops: { 0: "verify" } },
    ];
    for (const change of usable) {
      await test.step(`${alg} with ${JSON.stringify(change)} verifies`, async () => {
        const { index } = await load({ ...public_jwk, ...change });
        assert.ok(index.find(alg, "k"));
      });
    }
    for (const change of useless) {
      await test.step(`${alg} with ${JSON.stringify(change)} does not`, async () => {
        const { index } = await load({ ...public_jwk, ...change });
        assert.equal(index.size, 0);
      });
    }
  }
});

Deno.test("a set with two keys of one kid and algorithm is refused completely", async () => {
  const second = { ...other.public_jwk };
  for (const keys of [[curve.public_jwk, second], [curve.public_jwk, rsa.public_jwk, second]]) {
    await assert.rejects(
      load(...keys),
      (error) => error instanceof UnusableSetError && /repeats a kid of ES256/.test(error.message),
    );
  }
  // Not even if the second one is broken: the intended one is unknown.
  await assert.rejects(load(curve.public_jwk, { ...second, x: "AA" }), UnusableSetError);
  const { index } = await load(rsa.public_jwk, curve.public_jwk, edwards.public_jwk);
  assert.equal(index.size, 3, "one kid for three algorithms is not a repetition");
  const beside = await load(curve.public_jwk, { ...second, use: "enc" });
  assert.equal(beside.index.size, 1, "and neither is one for encryption");
});

Deno.test("a set of 64 keys is read, and one of 65 is refused completely", async () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ ...curve.public_jwk, kid: `k${at}` }));
  assert.equal((await load(...many(64))).index.size, 64);
  await assert.rejects(load(...many(65)), UnusableSetError);
});

Deno.test("a set with a duplicate member is refused", async () => {
  const one = JSON.stringify(curve.public_jwk);
  const two = `${one.slice(0, -1)},"x":${JSON.stringify(other.public_jwk.x)}}`;
  for (const text of [`{"keys":[${two}]}`, `{"keys":[${one}],"keys":[]}`]) {
    await assert.rejects(
      keysFromJwks(text, ALL),
      (error) => error instanceof UnusableSetError && /occurs twice/.test(error.message),
    );
  }
});

Deno.test("keys that verify any signature are skipped", async (test) => {
  const bad: [name: string, jwk: unknown, why: RegExp][] = [
    ["an exponent of 1", { ...rsa.public_jwk, e: "AQ" }, /exponent/],
    ["an even exponent", { ...rsa.public_jwk, e: "Ag" }, /exponent/],
    ["an exponent of 0", { ...rsa.public_jwk, e: "AA" }, /exponent/],
    ["a point of order 1", { ...edwards.public_jwk, x: `AQ${"A".repeat(41)}` }, /small order/],
    [
      "a point not on the curve",
      { ...edwards.public_jwk, x: `Ag${"A".repeat(41)}` },
      /not a point/,
    ],
  ];
  for (const [name, jwk, why] of bad) {
    await test.step(name, async () => {
      const { index, problems } = await load(jwk);
      assert.equal(index.size, 0);
      assert.match(problems.join(), why);
    });
  }
});

Deno.test("a PEM with a point of small order is refused", async () => {
  // SubjectPublicKeyInfo of Ed25519, RFC 8410, around the neutral element.
  const der = Uint8Array.fromHex(`302a300506032b6570032100${"01".padEnd(64, "0")}`);
  const pem = `-----BEGIN PUBLIC KEY-----\n${der.toBase64()}\n-----END PUBLIC KEY-----\n`;
  await assert.rejects(keyFromPem(pem, ["EdDSA"]), /small order/);
  assert.equal((await keyFromPem(edwards.public_pem, ["EdDSA"])).index.size, 1);
});
