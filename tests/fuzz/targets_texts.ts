/** Fuzz targets of texts by people and programs: tokens, configuration, queries, stored documents. */
import assert from "node:assert/strict";
import { ArqonError, writeHistoryQuery } from "@arqon/proto";
import { decodeBan, encodeBan } from "../../shared/records/bans.ts";
import { ConfigError, parseConfig } from "../../shared/config/load.ts";
import { decodeRevocation, encodeRevocation } from "../../shared/records/revocations.ts";
import { decodeSettings } from "../../shared/records/tenant_settings.ts";
import { rangeOfData, rangeOfParams } from "../../shield/durable/history/history_query.ts";
import { keysFromJwks, UnusableSetError } from "../../shield/auth/keys.ts";
import {
  authConfig,
  goodClaims,
  jwksText,
  mint,
  sign,
  testAuthenticator,
} from "../../shield/auth/testing/issuer.ts";
import type { TestKey } from "../../shield/auth/testing/issuer.ts";
import { jsonOf, refusesWith, type Target, textOf, utf8, wordsOf } from "./target.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const JSON_WORDS = [
  ...["null", "[[[[[[[[", "{", "}", '"', "\\u0000", "\\ud800", "1e999", "-1", '"__proto__":', ","],
];

/** PKCS #8 of an Ed25519 key, up to its 32 bytes. */
const ED25519 = Uint8Array.fromHex("302e020100300506032b657004220420");

/** The same key in every run, so that a place refers to the same token. It is public. */
async function knownKey(): Promise<TestKey> {
  const pkcs8 = new Uint8Array([...ED25519, ...new Uint8Array(32).fill(7)]);
  const private_key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const { kty, crv, x } = await crypto.subtle.exportKey("jwk", private_key);
  const public_jwk = { kty, crv, x, kid: "k1", alg: "EdDSA", use: "sig" } as TestKey["public_jwk"];
  return { alg: "EdDSA", kid: "k1", private_key, public_jwk, public_pem: "" };
}

/** A key that nobody kept. */
const P256 = {
  kty: "EC",
  crv: "P-256",
  x: "U0erswB--7zxb3i1-xwRbnBn4vWtRArlXHTzFnBaxLg",
  y: "CY55cFMdQOHOfUxynpi4bqQ3ksnhmIZ81_NhZ0DXfxs",
  kid: "k2",
};

/** Whole tokens as clients send them: hardly any can be verified, and only a seed may be accepted. */
export async function tokens(): Promise<Target> {
  const key = await knownKey();
  const files = { "jwks.json": jwksText(key) };
  const auth = authConfig({ algorithms: ["RS256", "EdDSA"] });
  const authenticator = await testAuthenticator(auth, files);
  const good = await mint(key);
  const seeds = [
    good,
    await mint(key, { exp: 1 }),
    await sign(key, { alg: "none" }, goodClaims()),
    await sign(key, { alg: "EdDSA", kid: "k2", crit: ["b64"] }, goodClaims()),
  ].map(utf8);
  const words = wordsOf(".", "..", "e30", "eyJhbGciOiJub25lIn0", "=", "+", "A".repeat(64), good);
  async function run(bytes: Uint8Array): Promise<void> {
    const token = textOf(bytes);
    const identity = await authenticator.authenticate(token);
    // The unused bits of a last base64url digit allow other texts of the same bytes.
    const parts = good.split(".");
    assert.equal(identity.user_id, "u1");
    assert.deepEqual(token.split(".").slice(0, 2), parts.slice(0, 2), "it was never signed");
  }
  const isRefusal = refusesWith(401);
  return { name: "tokens", weight: 1, seeds, words, bytes_max: 6_000, run, isRefusal };
}

/** Arbitrary claims signed by a trusted issuer. */
export async function claims(): Promise<Target> {
  const key = await knownKey();
  const files = { "jwks.json": jwksText(key) };
  const auth = authConfig({ algorithms: ["EdDSA"] });
  const authenticator = await testAuthenticator(auth, files);
  const grants = [{ room: "chat-*", actions: ["publish", "subscribe"] }, {
    room: "*",
    actions: [],
  }];
  const cnf = { jwk: { kty: "OKP", crv: "Ed25519", x: key.public_jwk.x } };
  const seeds = jsonOf(
    goodClaims(),
    { ...goodClaims(), grants, jti: "t1", nbf: 1, iat: 1 },
    { ...goodClaims(), cnf, aud: ["arqon", "other"], role: "admin" },
  );
  const words = wordsOf(...JSON_WORDS, '"sub":', '"tenant_id":"globex"', '"role":"admin"', "exp");
  async function run(bytes: Uint8Array): Promise<void> {
    const token = await sign(key, { alg: "EdDSA", kid: "k1" }, textOf(bytes));
    const identity = await authenticator.authenticate(token);
    assert.match(identity.tenant_id, /^(acme|globex)$/);
    assert.equal(identity.role, "user", "the issuer may vouch for nobody else");
    assert.ok(identity.user_id.length > 0 && identity.user_id.length <= 128);
  }
  const isRefusal = refusesWith(401);
  return { name: "claims", weight: 1, seeds, words, bytes_max: 2_048, run, isRefusal };
}

/** Key sets as an issuer's URL serves them. */
export async function keySets(): Promise<Target> {
  const { public_jwk } = await knownKey();
  const twice = JSON.stringify({ keys: [public_jwk] }).replace('"crv":', '"crv":"P-256","crv":');
  const seeds = [
    ...jsonOf({ keys: [public_jwk, P256] }, { keys: [] }, { keys: [P256, P256] }),
    utf8(twice),
  ];
  const words = wordsOf(...JSON_WORDS, '"kty":"RSA"', '"kty":"oct"', '"d":"AA"', '"e":"AQAB","n":');
  const run = async (bytes: Uint8Array) => {
    await keysFromJwks(textOf(bytes), ["RS256", "ES256", "EdDSA"]);
  };
  const isRefusal = (error: unknown) =>
    error instanceof UnusableSetError ||
    error instanceof TypeError && /expected a JWK set/.test(error.message);
  return { name: "key-sets", weight: 1, seeds, words, bytes_max: 2_048, run, isRefusal };
}

const CONFIGS = [
  `[server]
port = 4000
allowed_origins = ["https://app.example.com"]

[nats]
urls = ["nats://127.0.0.1:4222"]

[[auth.issuers]]
issuer = "https://id.example.com/"
audience = "arqon"
jwks_url = "https://id.example.com/jwks.json"
algorithms = ["RS256", "ES256"]
tenants = ["acme"]
`,
  `[limits]
max_frame_bytes = 65_536 # bytes

[platform.mirroring]
rules = [{ prefix = "in.t.default.*", percent = 0.10 }]

${durableRooms("chat-*", "history_size = 0x10")}

[log]
level = 'debug'
`,
];

/** Configuration files: problems with a position, or a configuration. */
export function configs(): Target {
  const words = wordsOf(
    ...[
      "[",
      "[[",
      "]]",
      "=",
      "'''",
      '"""',
      "\n",
      "\r",
      "#",
      ".",
      "{",
      "}",
      "nan",
      "inf",
      "0x",
      "\\u",
    ],
    ...[
      "1979-05-27T07:32:00Z",
      "[server]",
      "__proto__",
      "true",
      "[[[[[[[[[[",
      "9223372036854775808",
    ],
  );
  const seeds = CONFIGS.map(utf8);
  const run = (bytes: Uint8Array) => void parseConfig(textOf(bytes), { file: "config.toml" });
  const isRefusal = (error: unknown) => error instanceof ConfigError && error.problems.length > 0;
  return { name: "configs", weight: 0.5, seeds, words, bytes_max: 2_048, run, isRefusal };
}

/** Queries of a room's past, in all three forms. */
export function historyQueries(): Target {
  const bounds = { history_messages: 1_000 };
  const seeds = [
    ...jsonOf({ after: 1, before: 9, limit: 5, reverse: true }, { after: "12" }, {}),
    writeHistoryQuery({ after: 1, before: 9, limit: 5, reverse: true }),
    utf8("after=1&before=9&limit=5&reverse=true"),
  ];
  const words = wordsOf(
    ...JSON_WORDS,
    "&",
    "=",
    "%00",
    "after",
    "reverse=1",
    "18446744073709551615",
  );
  const forms: readonly ((bytes: Uint8Array) => void)[] = [
    (bytes) => void rangeOfData(bytes, "application/json", bounds),
    (bytes) => void rangeOfData(bytes, "application/protobuf", bounds),
    (bytes) => void rangeOfParams(new URLSearchParams(textOf(bytes)), bounds, ["access_token"]),
  ];
  const run = (bytes: Uint8Array) => {
    for (const form of forms) {
      try {
        form(bytes);
      } catch (error) {
        if (!(error instanceof ArqonError && error.code === 400)) throw error;
      }
    }
  };
  const isRefusal = refusesWith(400);
  return { name: "history-queries", weight: 3, seeds, words, bytes_max: 1_024, run, isRefusal };
}

/** Documents in the buckets: bans, revocations, settings of tenants. */
export function storedDocuments(): Target {
  const rest = { until_ms: 0, reason: "spam", by: "root", created_ms: 1_767_323_045_000 };
  const seeds = [
    encodeBan({ user_id: "ann", room_id: "*", ...rest }),
    encodeRevocation({ kind: "user", id: "ann", issued_before_ms: 5, ...rest }),
    encodeRevocation({ kind: "token", id: "t1", issued_before_ms: 0, ...rest }),
    ...jsonOf({
      format: 1,
      version: 1,
      mirror: { rules: [{ prefix: "in.t.acme.*", percent: 0.1 }] },
      mappings: [],
      rooms: [{ room: "chat-*", durable: true }],
      by: "root",
      changed_ms: 1,
    }),
  ];
  const words = wordsOf(...JSON_WORDS, '"format":2', '"kind":"token"', '"until_ms":-1');
  const run = (bytes: Uint8Array) => {
    decodeSettings("acme", bytes);
    for (const decode of [decodeBan, decodeRevocation]) {
      try {
        decode(bytes);
      } catch (error) {
        const is_newer = error instanceof ArqonError && error.reason === "incompatible-version";
        const is_none = error instanceof TypeError &&
          /^not a (ban|revocation): /.test(error.message);
        if (!is_newer && !is_none) throw error;
      }
    }
  };
  const isRefusal = () => false;
  return { name: "stored-documents", weight: 2, seeds, words, bytes_max: 1_024, run, isRefusal };
}
