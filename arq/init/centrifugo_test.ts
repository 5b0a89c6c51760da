/** Conversion of Centrifugo configurations: each key has a counterpart here, or a reason why it has none. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { matchesRoomPattern } from "@arqon/proto";
import { parseConfig } from "../../shared/config/load.ts";
import { roomOf } from "../../shield/centrifugo/channel.ts";
import { fromCentrifugo } from "./centrifugo.ts";
import { initConfig } from "./templates.ts";

const PORTS = { port: 4_000, ops_port: 4_001, admin_port: 4_002 };

/** The converted configuration, after the bus's own parser has accepted it. */
function carried(config: Parameters<typeof fromCentrifugo>[0]) {
  const from = fromCentrifugo(config, "arqon");
  const parsed = parseConfig(initConfig(PORTS, "arq", from.origins) + from.toml, {
    file: "config.toml",
  });
  return { ...from, parsed, reasons: new Map(from.left), keys: new Map(from.carried) };
}

const PEM = { type: "spki", format: "pem" } as const;
const RSA = generateKeyPairSync("rsa", { modulusLength: 2_048 }).publicKey;
const EC = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export(PEM);

const V5 = {
  token_hmac_secret_key: "a secret",
  token_rsa_public_key: String(RSA.export(PEM)).trim(),
  token_issuer: "https://app.example.com",
  api_key: "d7627bb6-2292-4911-82e1-615c0ed3eebb",
  admin: true,
  admin_password: "p",
  admin_secret: "s",
  debug: false,
  allowed_origins: ["https://app.example.com"],
  allow_subscribe_for_client: true,
  presence: true,
  history_size: 10,
  history_ttl: "60s",
  engine: "redis",
  redis_address: "127.0.0.1:6379",
  proxy_connect_endpoint: "http://a/b",
  namespaces: [
    {
      name: "chat",
      presence: true,
      force_push_join_leave: true,
      allow_publish_for_subscriber: true,
    },
    { name: "news", history_size: 100, history_ttl: "1h30m", force_recovery: true },
  ],
};

Deno.test("version 5: keys at the top, and namespaces as room classes", () => {
  const { parsed, files, reasons, keys } = carried(V5);
  const { server, centrifugo, auth, rooms } = parsed;
  assert.deepEqual(server.allowed_origins, V5.allowed_origins);
  assert.deepEqual(centrifugo.presence, ["chat:*", "*"]);
  assert.deepEqual([centrifugo.join_leave, centrifugo.declared_namespaces], [["chat:*"], true]);
  const held = centrifugo.api_keys.map(({ tenant, key_file }) => ({ tenant, key_file }));
  assert.deepEqual(held, [{ tenant: "default", key_file: "keys/centrifugo-api.key" }]);
  const { issuer, audience, pem_file, algorithms } = auth.issuers[1]!;
  assert.deepEqual([issuer, audience, pem_file, algorithms], [
    V5.token_issuer,
    "arqon",
    "keys/token.pem",
    ["RS256"],
  ]);
  const kept = (room: string) => rooms.find((one) => one.room === room)!;
  assert.deepEqual([kept("*").history_size, kept("*").history_ttl_seconds], [10, 60]);
  assert.deepEqual([kept("news:*").durable, kept("news:*").history_ttl_seconds], [true, 5_400]);
  assert.deepEqual(files.map(({ path, data, mode }) => [path, data.trim(), mode]), [
    ["keys/token.pem", V5.token_rsa_public_key, 0o644],
    ["keys/centrifugo-api.key", V5.api_key, 0o600],
  ]);
  assert.match(reasons.get("token_hmac_secret_key") ?? "", /moving_centrifugo.md#tokens/);
  assert.match(reasons.get("allow_subscribe_for_client") ?? "", /grants/);
  assert.match(reasons.get("namespaces[0].allow_publish_for_subscriber") ?? "", /grants/);
  assert.match(reasons.get("proxy_connect_endpoint") ?? "", /hooks/);
  assert.match(keys.get("namespaces[1].force_recovery") ?? "", /always/);
  assert.equal(reasons.has("debug"), false);
});

Deno.test("version 6: the same in tables", () => {
  const { parsed, files, reasons } = carried({
    client: {
      allowed_origins: ["*"],
      token: { jwks_public_endpoint: "https://a.example.com/jwks", audience: "rt" },
      insecure: true,
      proxy: { connect: { enabled: true, endpoint: "http://a/b" } },
    },
    http_api: { key: "short" },
    http_server: { port: 8000 },
    channel: {
      without_namespace: { allowed_delta_types: ["fossil"], delta_publish: true },
      namespaces: [{
        name: "score",
        history_size: 1,
        history_ttl: "24h",
        force_recovery_mode: "cache",
        something_new: 1,
      }],
    },
  });
  const [, own] = parsed.auth.issuers;
  assert.deepEqual([own?.jwks_url, own?.audience, own?.issuer], [
    "https://a.example.com/jwks",
    "rt",
    "centrifugo",
  ]);
  assert.deepEqual(
    parsed.rooms.filter(({ room }) => room !== "orders*").map((one) => [
      ...[one.room, one.durable, one.cache_last, one.delta],
    ]),
    [["score:*", true, true, "none"], ["*", false, false, "fossil"]],
  );
  assert.deepEqual(files, []);
  assert.match(reasons.get("http_api.key") ?? "", /16 to 256/);
  assert.deepEqual(
    [...reasons.keys()].filter((key) => key !== "http_api.key").sort(),
    [
      "channel.namespaces[0].something_new",
      "client.insecure",
      "client.proxy.connect.enabled",
      "client.proxy.connect.endpoint",
      "http_server.port",
    ],
  );
});

Deno.test("keys that could not be fetched safely are reported, and invalid API keys, too", () => {
  const { parsed, reasons } = carried({
    token_jwks_public_endpoint: "http://keys.internal/certs",
    namespaces: [{ name: "private-room", history_ttl: "300s" }, "no table"],
  });
  assert.match(reasons.get("token_jwks_public_endpoint") ?? "", /https/);
  assert.equal(parsed.auth.issuers.length, 1);
  assert.ok(reasons.has("namespaces[0].history_ttl"));
  assert.match(reasons.get("namespaces[1]") ?? "", /a table with a name/);
  const two = { token_rsa_public_key: V5.token_rsa_public_key, token_ecdsa_public_key: EC };
  assert.match(carried(two).reasons.get("token_ecdsa_public_key") ?? "", /one public key/);
});

Deno.test("personal channels: the bus may subscribe their users, once a token names them", () => {
  const v6 = carried({
    client: {
      subscribe_to_user_personal_channel: {
        enabled: true,
        personal_channel_namespace: "own.user",
        single_connection: true,
      },
    },
    channel: { namespaces: [{ name: "own.user", presence: true }] },
  });
  const room = roomOf("own.user:#17", "");
  const [pattern = "", ...others] = v6.parsed.centrifugo.server_side;
  assert.deepEqual([matchesRoomPattern(pattern, room), others], [true, []]);
  assert.ok(!matchesRoomPattern(pattern, roomOf("own.user:news", "")), "of users alone");
  assert.ok(v6.parsed.centrifugo.presence.some((one) => matchesRoomPattern(one, room)));
  const personal = "client.subscribe_to_user_personal_channel";
  assert.match(v6.keys.get(`${personal}.enabled`) ?? "", /server_side.*channels/);
  assert.ok(v6.keys.has(`${personal}.personal_channel_namespace`));
  assert.ok(v6.reasons.has(`${personal}.single_connection`));
  const v5 = carried({ user_subscribe_to_personal: true });
  assert.deepEqual(
    v5.parsed.centrifugo.server_side.map((one) =>
      matchesRoomPattern(one, roomOf("#17", "")) && !matchesRoomPattern(one, "news")
    ),
    [true],
  );
  assert.ok(v5.keys.has("user_subscribe_to_personal"));
  const { origins } = carried({ allowed_origins: "https://a.example.com, https://b.example.com" });
  assert.deepEqual(origins, ["https://a.example.com", "https://b.example.com"]);
  const off = carried({ user_personal_channel_namespace: "own" });
  assert.deepEqual(off.parsed.centrifugo.server_side, []);
  assert.ok(off.reasons.has("user_personal_channel_namespace"));
});

Deno.test("settings that the bus does not support are left out, and reported", () => {
  const small = generateKeyPairSync("rsa", { modulusLength: 1_024 }).publicKey.export(PEM);
  const names = Array.from({ length: 70 }, (_, at) => `ns${at}`);
  const { parsed, reasons } = carried({
    client: {
      token: { rsa_public_key: small, ecdsa_public_key: "no key", issuer: 7, audience: "" },
      allowed_origins: ["https://*.example.com", "https://a.example.com", 7, ""],
      subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: "a b" },
    },
    http_api: { key: "key ".repeat(8) },
    channel: {
      without_namespace: null,
      namespaces: [
        ...[
          { name: "twice" },
          { name: "twice", presence: true },
          { name: "n".repeat(64) },
          null,
          7,
        ],
        ...[{ name: "ünï" }, { name: "big", history_size: 1e9, history_ttl: "999999h" }],
        { name: "odd", history_size: 1.5, history_ttl: "5m" },
        { name: "soon", history_size: 5, history_ttl: "-5m" },
        { name: "nanos", history_size: 5, history_ttl: 60_000_000_000 },
        { name: "maps", subscription_type: "map", map: { mode: "recoverable" } },
        ...names.map((name) => ({ name, presence: true, force_push_join_leave: true })),
      ],
    },
  });
  assert.deepEqual(parsed.server.allowed_origins, ["https://a.example.com"]);
  assert.equal(parsed.centrifugo.presence.length, 64);
  const kept = (room: string) => parsed.rooms.find((one) => one.room === room)!;
  const { history_size, history_ttl_seconds } = kept("big:*");
  assert.deepEqual([history_size, history_ttl_seconds], [1_000_000, 315_360_000]);
  assert.equal(kept("nanos:*").history_ttl_seconds, 60);
  assert.deepEqual([kept("odd:*").durable, kept("soon:*").durable], [false, false]);
  const channels = "channel.namespaces";
  for (
    const [key, like] of [
      ["client.token.rsa_public_key", /2,048 bits/],
      ["client.token.ecdsa_public_key", /P-256/],
      ["client.token.issuer", /public key/],
      ["client.allowed_origins", /https:\/\/\*\.example\.com/],
      ["client.subscribe_to_user_personal_channel.enabled", /./],
      ["http_api.key", /16 to 256/],
      [`${channels}[1]`, /has this name/],
      ...[2, 5].map((at) => [`${channels}[${at}]`, /begins so/] as const),
      ...[3, 4].map((at) => [`${channels}[${at}]`, /a table with a name/] as const),
      [`${channels}[7].history_size`, /300s/],
      [`${channels}[8].history_ttl`, /300s/],
      [`${channels}[10].subscription_type`, /no maps/],
      [`${channels}[80].presence`, /at most 64/],
    ] as const
  ) assert.match(reasons.get(key) ?? "", like, key);
});

Deno.test("no key of a configuration is lost in silence", () => {
  const { keys, reasons } = carried(V5);
  for (const [key, value] of Object.entries(V5)) {
    if (value === false || ["namespaces", "token_issuer"].includes(key)) continue;
    assert.ok(keys.has(key) || reasons.has(key), key);
  }
});
