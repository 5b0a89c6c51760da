/**
 * What the HTTP API of the client listener refuses, and how: members, types, sizes, methods, origins,
 * too many at once, signatures, policies, and a bus without a Brain.
 */
import assert from "node:assert/strict";
import { signingInput, writeEnvelope } from "@arqon/proto";
import { seen } from "../shared/testing/until.ts";
import { startBusWith } from "./harness/bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import type { TestBus } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { startNats } from "./harness/nats_server.ts";
import { policyAdmin } from "./peers/policy_admin.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
allowed_origins = ["https://app.example.com"]
[ops]
host = "127.0.0.1"
[auth]
query_token = true
require_signature = [{ role = "user", room = "signed" }]
[limits]
pending_operations = 2
command_timeout_ms = 600_000
max_frame_bytes = 4_096
`;

interface Stage {
  readonly bus: TestBus;
  readonly peer: HttpPeer;
}

/** Method, path, body, and the refusal with words that its text has. */
const REFUSALS: readonly (readonly [
  method: string,
  path: string,
  body: unknown,
  refusal: string,
  words: string,
])[] = [
  ["PUT", "state/k", { value: 1, extra: 1 }, "400 unknown-field", '"extra"; known here: value, '],
  ["PUT", "state/k", '{"value":1,"value":2}', "400 repeated-field", '"value"'],
  ["PUT", "state/k", {}, "400 invalid-command", 'room.set needs "value"'],
  ["PUT", "state/k", undefined, "400 invalid-command", 'room.set needs "value"'],
  ["PUT", "state/k", "[1]", "400 malformed-body", "expected one JSON object"],
  ["PUT", "state/k", "{", "400 malformed-body", "it is not JSON"],
  ["PUT", "state/k", { value: 1, expect_version: "x" }, "400 malformed-frame", '"expect_version"'],
  ["PUT", "state/k", { value: 1, expect_version: -1 }, "400 malformed-frame", '"expect_version"'],
  ["PUT", "state/k", { value: 1, command_id: 7 }, "400 malformed-frame", '"command_id"'],
  ["PUT", "state/k", { value: 1, command_id: "x".repeat(257) }, "400 invalid-field", "command_id"],
  [
    "PUT",
    "state/k",
    { value: 1, holder_id: 7 },
    "400 invalid-field",
    "holder_id: expected 1 to 32",
  ],
  ["PUT", "state/k", { value: 1, holder_id: "a b" }, "400 invalid-field", "holder_id"],
  ["PUT", "state/k", { value: "x".repeat(4_096) }, "413 too-large", "4096 bytes"],
  ["PUT", "state/k?fence=1", { value: 1 }, "400 unknown-field", '"fence"'],
  ["PUT", `state/${"k".repeat(257)}`, { value: 1 }, "400 invalid-command", "1 to 256 bytes"],
  ["PUT", "state/%zz", { value: 1 }, "400 invalid-field", "% escape"],
  ["GET", "state/", undefined, "400 invalid-command", "1 to 256 bytes"],
  ["GET", "state?limit=1", undefined, "400 unknown-field", "known here: events_after"],
  ["GET", "state?epoch=1&epoch=1", undefined, "400 repeated-field", '"epoch"'],
  ["GET", "state?after_version=-1", undefined, "400 invalid-field", "expected a whole number"],
  ["GET", "state?after_version=18446744073709551616", undefined, "400 malformed-frame", "2^64-1"],
  ["GET", "state?events_after=99999999999999999999", undefined, "400 invalid-command", "whole"],
  ["DELETE", "state/k", { fence: 1 }, "400 malformed-body", "in the query"],
  ["POST", "lock", { ttl_ms: "1" }, "400 invalid-command", '"ttl_ms" must be a whole number'],
  ["POST", "lock", { ttl_ms: 86_400_001 }, "400 invalid-command", '"ttl_ms" must be'],
  ["DELETE", "lock?fence=0x1", undefined, "400 invalid-field", "fence"],
  ["GET", "presence?limit=0", undefined, "400 invalid-command", '"limit" must be'],
  ["GET", "presence?after=x", undefined, "400 invalid-command", '"next" of an earlier'],
  ["GET", "presence/count?limit=1", undefined, "400 unknown-field", "known here: none"],
  ["POST", "kick", {}, "400 invalid-command", "room.kick needs either"],
  ["POST", "kick", { user_id: "u", connection_id: "c" }, "400 invalid-command", "either"],
  ["POST", "bans", { reason: "x" }, "400 invalid-command", 'room.ban needs "user_id"'],
  ["POST", "bans", { user_id: "u", scope: "tenant" }, "400 unknown-field", '"scope"'],
  ["POST", "bans", { user_id: "u", ttl_ms: 0 }, "400 invalid-command", '"ttl_ms"'],
  ["GET", "bans?scope=all", undefined, "400 invalid-command", '"scope" must be'],
  ["DELETE", `bans/${"u".repeat(129)}`, undefined, "400 invalid-command", '"user_id" must be'],
  ["POST", "commands", { name: "room.explode" }, "400 invalid-command", "room.explode"],
  ["POST", "commands", { op: "pub", name: "x" }, "400 repeated-field", '"op"'],
  ["POST", "commands", "1", "400 malformed-body", "expected an object such as"],
  ["POST", "commands", { name: "room.get", type: "x" }, "400 unknown-field", '"type"'],
  ["PATCH", "state/k", undefined, "405 method-not-allowed", "PATCH"],
  ["POST", "state", {}, "405 method-not-allowed", "POST"],
  ["GET", "locks", undefined, "404 not-found", "/v1/rooms/strict/locks"],
];

async function strict({ bus }: Stage): Promise<void> {
  const admin = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "admin", user: "root" }));
  for (const [method, path, body, refusal, words] of REFUSALS) {
    const what = `${method} ${path} ${JSON.stringify(body)}`;
    const answer = await admin.call(method, `rooms/strict/${path}`, body);
    const { reason, status, detail } = answer.body;
    assert.equal(`${answer.status} ${reason}`, refusal, `${what}: ${detail}`);
    assert.equal(status, answer.status);
    assert.ok(detail.includes(words), `${what}: ${detail}`);
  }
  assert.equal(await admin.refused("GET", "rooms/a.b/state"), "400 invalid-room");
  assert.equal(await admin.refused("GET", "rooms/%zz/state"), "400 invalid-room");
  const form = { "content-type": "application/x-www-form-urlencoded" };
  for (const path of ["rooms/strict/state/k", "rooms/strict/lock", "rooms/strict/commands"]) {
    const method = path.endsWith("k") && !path.endsWith("lock") ? "PUT" : "POST";
    const { status, body } = await admin.call(method, path, '{"value":1}', form);
    assert.deepEqual([status, body.reason], [415, "unsupported-media-type"], path);
    assert.match(body.detail, /expected application\/json$/);
  }
  const { version } = await admin.done("GET", "rooms/strict/state");
  assert.equal(version, 0, "nothing of it has had an effect");
}

async function tokens({ bus, peer }: Stage): Promise<void> {
  const url = `${bus.http_url}/v1/rooms/open/state`;
  const none = await fetch(url);
  assert.equal(none.status, 401);
  assert.equal(none.headers.get("www-authenticate"), 'Bearer realm="arqon"');
  await none.body?.cancel();
  const query = await fetch(`${url}?access_token=${bus.token}&after_version=0`);
  assert.equal((await query.json()).code, 0);
  const claims = { grants: [{ room: "other", actions: ["command"] }] };
  const other = new HttpPeer(bus.http_url, await bus.tokenFor({ claims }));
  assert.equal(await other.refused("GET", "rooms/open/state"), "403 not-granted");
  await other.done("GET", "rooms/other/state");
  const service = { role: "service", user: "narrow", claims } as const;
  const narrow = new HttpPeer(bus.http_url, await bus.tokenFor(service));
  assert.equal(await narrow.refused("POST", "bans", { user_id: "u" }), "403 not-granted");
  assert.equal(await narrow.refused("GET", "bans"), "403 not-granted");
  const admin = await bus.tokenFor({ role: "admin", user: "root" });
  const revoked = await fetch(`${bus.admin_url}/v1/revocations`, {
    method: "POST",
    headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
    body: JSON.stringify({ tenant: "default", token_id: "t-1" }),
  });
  assert.equal(revoked.status, 200, await revoked.text());
  const gone = new HttpPeer(bus.http_url, await bus.tokenFor({ claims: { jti: "t-1" } }));
  const ask = () => gone.call("GET", "rooms/open/state");
  await seen("the revocation has come", ask, ({ status }) => status !== 200);
  assert.equal(await gone.refused("GET", "rooms/open/state"), "401 token-revoked");
  await peer.done("GET", "rooms/open/state");
}

async function browsers({ bus, peer }: Stage): Promise<void> {
  const origin = "https://app.example.com";
  const preflight = await fetch(`${bus.http_url}/v1/rooms/web/state/k`, {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "PUT" },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-origin"), origin);
  assert.equal(preflight.headers.get("access-control-allow-methods"), "GET, PUT, DELETE");
  const put = await peer.call("PUT", "rooms/web/state/k", { value: 1 }, { origin });
  assert.equal(put.headers.get("access-control-allow-origin"), origin);
  const strange = await peer.call("PUT", "rooms/web/state/k", { value: 2 }, {
    origin: "https://evil.example",
  });
  assert.deepEqual([strange.status, strange.body.reason], [403, "origin-not-allowed"]);
  assert.equal((await peer.done("GET", "rooms/web/state/k")).value, 1);
  const allowed = async (path: string) => (await peer.call("PATCH", path)).headers.get("allow");
  assert.equal(await allowed("rooms/web/state/k"), "GET, PUT, DELETE, HEAD, OPTIONS");
  assert.equal(await allowed("rooms/web/messages"), "GET, POST, HEAD, OPTIONS");
  assert.equal(await allowed("messages"), "POST, OPTIONS");
}

/** Requests that wait for a version hold their places until somebody writes it. */
async function waiting({ bus }: Stage): Promise<void> {
  const path = "rooms/waiting/state";
  const ann = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "waits" }));
  const bob = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "other" }));
  // The question below may hold the second place for a moment: who is refused for it asks again.
  const ask = () => ann.call("GET", `${path}?after_version=1`);
  const wait = () => seen("it has a place", ask, ({ status }) => status !== 429);
  const waits = [wait(), wait()];
  // Until both have arrived it is let in itself.
  await seen("both have arrived", () => ann.call("GET", path), ({ status }) => status !== 200);
  const refused = await ann.call("GET", path);
  const retry_after = refused.headers.get("retry-after");
  assert.deepEqual([refused.status, refused.body.reason, retry_after], [
    429,
    "too-many-pending",
    "1",
  ]);
  const put = await bob.done("PUT", `${path}/k`, { value: 1 });
  for (const { body } of await Promise.all(waits)) {
    assert.equal(body.result.version, put.version);
  }
  await ann.done("GET", path);
}

async function signed({ bus }: Stage): Promise<void> {
  const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  assert.ok("privateKey" in keys);
  const { kty, crv, x } = await crypto.subtle.exportKey("jwk", keys.publicKey);
  const claims = { cnf: { jwk: { kty, crv, x } } };
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "signer", claims }));
  const put = await peer.refused("PUT", "rooms/signed/state/k", { value: 1 });
  assert.equal(put, "403 signature-required");
  const data = '{"key":"k","value":1}';
  const command = { name: "room.set", data: new TextEncoder().encode(data) };
  const envelope = writeEnvelope({
    command: {
      ...command,
      content_type: "application/json",
      ...{ expect_version: 0, after_version: 0, fence: 0, epoch: "", command_id: "" },
    },
  });
  const input = signingInput("default", "signed", "", envelope);
  const bytes = await crypto.subtle.sign("Ed25519", keys.privateKey, input);
  const signature = new Uint8Array(bytes).toBase64();
  const body = `{"name":"room.set","data":${data},"signature":"${signature}"}`;
  assert.ok((await peer.done("POST", "rooms/signed/commands", body)).version > 0);
  const changed = body.replace('"value":1', '"value":2');
  assert.equal(
    await peer.refused("POST", "rooms/signed/commands", changed),
    "403 signature-invalid",
  );
}

/** Policies see a command over HTTP as any other. */
async function policies({ bus }: Stage): Promise<void> {
  const tenant = "watched";
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ tenant }));
  const admin = await policyAdmin(bus);
  const file = new URL("../policies/build/bad_words.wasm", import.meta.url);
  const { body: { sha256 } } = await admin.upload(await Deno.readFile(file));
  const deployed = await admin.post("deploy", { sha256, tenant, name: "words" });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  const path = "rooms/lobby/state/k";
  assert.equal(await peer.refused("PUT", path, { value: "malware" }), "403 policy-rejected");
  await peer.done("PUT", path, { value: "fine" });
}

Deno.test("what HTTP refuses", async (t) => {
  await using bus = await startBusWith(CONFIG + PATIENT_POLICIES);
  const stage = { bus, peer: new HttpPeer(bus.http_url, bus.token) };
  await t.step("what a path does not take is named", () => strict(stage));
  await t.step("who may not is told so", () => tokens(stage));
  await t.step("pages of allowed origins may use every method of a path", () => browsers(stage));
  await t.step("a user's requests under way are bounded", () => waiting(stage));
  await t.step("a room that wants signatures gets them by …/commands", () => signed(stage));
  await t.step("policies judge commands", () => policies(stage));
});

Deno.test("without a Brain commands are refused at once, and messages pass", async () => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  try {
    // A hang would end as 408, after a time that no test waits for.
    const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}\n` +
      "[limits]\ncommand_timeout_ms = 600_000\n";
    await using shield = await startServer("shield", config, issuer.dir);
    const url = new URL(shield.ready.url ?? "").origin.replace(/^ws/, "http");
    const peer = new HttpPeer(url, await issuer.tokenFor({ role: "service" }));
    for (
      const [method, path, body] of [
        ["GET", "rooms/r/state", undefined],
        ["PUT", "rooms/r/state/k", { value: 1 }],
        ["POST", "rooms/r/lock", undefined],
        ["GET", "rooms/r/presence/count", undefined],
        ["GET", "bans", undefined],
        ["POST", "rooms/r/commands", { name: "room.get" }],
      ] as const
    ) assert.equal(await peer.refused(method, path, body), "503 brain-unavailable", path);
    const { body } = await peer.call("POST", "messages", { rooms: ["a", "b"], type: "x" });
    assert.equal(body.refused, 0);
    await using _brain = await startServer("brain", config, issuer.dir);
    assert.ok((await peer.done("PUT", "rooms/r/state/k", { value: 1 })).version > 0);
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
