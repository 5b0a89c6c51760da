/**
 * The HTTP API of the client listener on real buses: its refusals, the SDK in networks that block WebSocket, readers of
 * events on two Shields. `accounts_test.ts` has commands on two Shields.
 */
import assert from "node:assert/strict";
import { signingInput, writeEnvelope } from "@arqon/proto";
import { connect, type ConnectOptions, type Message, type SocketLike } from "@arqon/sdk";
import { connect as connectEitherWay } from "@arqon/sdk/http";
import { fallbackSocket, type Memory } from "../sdk/typescript/http/fallback_socket.ts";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { seen, until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { startHaproxy, startNginx } from "./proxies/proxies.ts";

/** A bus as `deno task dev` starts it, for the tests with no other requirement. */
const running = sharedByTests(() => startLocalBus());

// The refusals of the client listener's HTTP API: members, types, sizes, methods, origins, too many requests at once,
// signatures, policies, and a bus without a Brain.

const WRONG = 'transport is "udp"; expected "auto" or "websocket" or "http"';
const CONFIG = `
[server]
allowed_origins = ["https://app.example.com"]
[auth]
query_token = true
require_signature = [{ role = "user", room = "signed" }]
[limits]
#constant limits.pending_operations = 2
#constant limits.command_timeout_ms = 600_000
max_frame_bytes = 4_096
`;

interface Stage {
  readonly bus: TestBus;
  readonly peer: HttpPeer;
}

/** Method, path, body, and the reason with words of its text. */
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
  const revocation = { tenant: "default", token_id: "t-1" };
  const operator = new HttpPeer(bus.admin_url, admin);
  assert.equal((await operator.call("POST", "revocations", revocation)).status, 200);
  const gone = new HttpPeer(bus.http_url, await bus.tokenFor({ claims: { jti: "t-1" } }));
  const ask = () => gone.call("GET", "rooms/open/state");
  await seen("the revocation has arrived", ask, ({ status }) => status !== 200);
  assert.equal(await gone.refused("GET", "rooms/open/state"), "401 token-revoked");
  await peer.done("GET", "rooms/open/state");
}

/** A request of which half of the body is sent; `end` sends the rest and gives status and reason of the answer. */
function slowly(url: string, token: string, method: string, body: object) {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  const writer = writable.getWriter();
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = fetch(url, { method, headers, body: readable });
  const sent = writer.write(bytes.subarray(0, 5));
  return {
    async end(): Promise<string> {
      await sent;
      await writer.write(bytes.subarray(5));
      await writer.close();
      const response = await answer;
      const { reason } = await response.json();
      return `${response.status} ${reason}`;
    },
  };
}

/** On both listeners: whoever sends half of a body in time could use a revoked token for as long as a body may take. */
async function ended({ bus, peer }: Stage): Promise<void> {
  const operator = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new HttpPeer(bus.admin_url, operator);
  const room = "rooms/slow";
  const value = { name: "room.set", data: { key: "k", value: 1 } };
  const pairs: readonly (readonly [string, string, object])[][] = [
    [["POST", `${room}/messages`, { type: "t" }], ["PUT", `${room}/state/k`, { value: 1 }]],
    [["POST", `${room}/commands`, value], ["POST", `${room}/lock`, { ttl_ms: 60_000 }]],
    [["POST", "messages", { messages: [{ room: "slow", type: "t" }] }], [
      "POST",
      "tickets",
      { rooms: ["slow"] },
    ]],
  ];
  for (const [at, pair] of pairs.entries()) {
    const user = `slow-${at}`;
    const claims = { jti: user };
    const token = await bus.tokenFor({ user, claims });
    const requests = pair.map(([method, path, body]) =>
      slowly(`${bus.http_url}/v1/${path}`, token, method, body)
    );
    const client = new HttpPeer(bus.http_url, token);
    const ask = () => client.call("GET", "rooms/open/state");
    await seen("both are under way", ask, ({ status }) => status === 429);
    await admin.call("POST", "revocations", { tenant: "default", token_id: user });
    await seen("the revocation has arrived", ask, ({ status }) => status === 401);
    for (const one of requests) assert.equal(await one.end(), "401 token-revoked", user);
  }
  assert.deepEqual((await peer.done("GET", `${room}/state`)).state, {});

  const claims = { jti: "slow-admin" };
  const token = await bus.tokenFor({ role: "admin", user: "slow-admin", claims });
  const url = `${bus.admin_url}/v1/`;
  const requests = [
    slowly(`${url}revocations`, token, "POST", { tenant: "default", user: "victim" }),
    slowly(`${url}tenants/default/rooms`, token, "PUT", { room: "slow-*", presence: false }),
  ];
  const log = () => admin.call("GET", "audit?actor=slow-admin");
  await seen("they have begun", log, ({ body }) => body.entries.length > 0);
  await admin.call("POST", "revocations", { tenant: "default", token_id: "slow-admin" });
  const gone = new HttpPeer(bus.admin_url, token);
  await seen("it has arrived", () => gone.call("GET", "access"), ({ status }) => status === 401);
  for (const one of requests) assert.equal(await one.end(), "401 token-revoked");
  const { body: { revocations } } = await admin.call("GET", "revocations?tenant=default");
  assert.equal(revocations.some(({ id }: { id: string }) => id === "victim"), false);
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

/** Requests that wait for a version occupy their slots until somebody writes it. */
async function waiting({ bus }: Stage): Promise<void> {
  const path = "rooms/waiting/state";
  const ann = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "waits" }));
  const bob = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "other" }));
  // The request below may occupy the second slot for a moment: a client that is refused for it retries.
  const ask = () => ann.call("GET", `${path}?after_version=1`);
  const wait = () => seen("it has a place", ask, ({ status }) => status !== 429);
  const waits = [wait(), wait()];
  // It is admitted itself until both have arrived.
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

/** Reads that wait for a version are not answered to who has lost the right to them meanwhile. */
async function lost({ bus, peer }: Stage): Promise<void> {
  const operator = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service", user: "s" }));
  const path = "rooms/lost";
  const ways: Record<string, (user_id: string) => Promise<unknown>> = {
    "401 token-revoked": (token_id) =>
      operator.call("POST", "revocations", { tenant: "default", token_id }),
    "403 banned": (user_id) => service.done("POST", "bans", { user_id }),
    "403 room-banned": (user_id) => service.done("POST", `${path}/bans`, { user_id }),
  };
  for (const [at, [refusal, act]] of Object.entries(ways).entries()) {
    const user = `lost-${at}`;
    const client = new HttpPeer(bus.http_url, await bus.tokenFor({ user, claims: { jti: user } }));
    const { version } = await peer.done("PUT", `${path}/state/k`, { value: at });
    const after_version = version + 1;
    const ask = () => client.call("GET", `${path}/state`);
    const wait = (...call: Parameters<HttpPeer["call"]>) =>
      seen("it has a place", () => client.call(...call), ({ status }) => status !== 429);
    const waits = [
      wait("GET", `${path}/state?after_version=${after_version}`),
      wait("POST", `${path}/commands`, { name: "room.get", after_version }),
    ];
    await seen("both have arrived", ask, ({ status }) => status === 429);
    await act(user);
    const known = async () => {
      const lists = ["bans", "revocations"].map((one) =>
        operator.call("GET", `${one}?tenant=default`)
      );
      return JSON.stringify((await Promise.all(lists)).map(({ body }) => body));
    };
    await seen("it has arrived", known, (lists) => lists.includes(user));
    await peer.done("PUT", `${path}/state/k`, { value: at });
    for (const { status, body } of await Promise.all(waits)) {
      assert.equal(`${status} ${body.reason}`, refusal);
    }
  }
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
      expect_version: 0,
      after_version: 0,
      fence: 0,
      epoch: "",
      command_id: "",
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

Deno.test("HTTP refusals", async (t) => {
  await using bus = await startLocalBus(CONFIG + PATIENT_POLICIES);
  const stage = { bus, peer: new HttpPeer(bus.http_url, bus.token) };
  await t.step("unknown members of a path are named", () => strict(stage));
  await t.step("a client without the grant gets the reason", () => tokens(stage));
  await t.step("a token that ends while a body comes is refused", () => ended(stage));
  await t.step("pages of allowed origins may use every method of a path", () => browsers(stage));
  await t.step("a user's requests under way are bounded", () => waiting(stage));
  await t.step("a read that waits is refused to who may not read any more", () => lost(stage));
  await t.step("a room that wants signatures gets them by …/commands", () => signed(stage));
});

// The SDK without WebSocket: nginx and HAProxy that forward no upgrade, sockets that are cut soon, a platform without
// WebSocket; and what the SDK remembers of it.

async function one(messages: AsyncIterable<Message>): Promise<unknown> {
  for await (const message of messages) return message.json();
  return undefined;
}

/** An nginx configuration that ignores WebSocket: it forwards no upgrade. */
const NO_UPGRADE = `
      location /v1/socket {
        proxy_pass http://shields;
        proxy_set_header Host $host;
      }`;

/** Counts the sockets and requests that it makes. */
function counted(): { readonly webSocket: typeof WebSocket; readonly count: () => number } {
  let count = 0;
  class Counted extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      count++;
    }
  }
  return { webSocket: Counted as typeof WebSocket, count: () => count };
}

async function talks(bus: TestBus, port: number): Promise<void> {
  const url = `http://127.0.0.1:${port}`;
  const { webSocket, count } = counted();
  await using first = await connect({ url, token: bus.token, webSocket, transport: "auto" });
  await using messages = first.room("lobby").subscribe({ presence: true });
  await messages.ready;
  await until("it has arrived itself", () => messages.presence.members.size === 1);
  await first.room("lobby").publish("t", 1);
  assert.equal(await one(messages), 1);
  assert.equal(count(), 1);
  await using second = await connectEitherWay({ url, token: bus.token, webSocket });
  await second.room("lobby").publish("t", 2);
  assert.equal(count(), 1, "what was found is remembered");
  for (const transport of ["websocket", undefined] as const) {
    const only = connect({ url, token: bus.token, ...transport && { transport } });
    await assert.rejects(only, { reason: "unreachable" });
  }
  const wrong = { url, token: bus.token, transport: "udp" } as unknown as ConnectOptions;
  await assert.rejects(connect(wrong), { name: "TypeError", message: WRONG });
  await using http = await connect({ url, token: bus.token, webSocket, transport: "http" });
  await http.room("lobby").publish("t", 3);
  assert.equal(count(), 1);
}

async function isTriedAgain(bus: TestBus, port: number): Promise<void> {
  let elapsed_ms = 1_000;
  const memory: Memory = { origins: new Map(), elapsed: () => elapsed_ms };
  const { webSocket, count } = counted();
  const kind = fallbackSocket(webSocket, memory);
  const open = async (to: number, token = bus.token) => {
    const url = `http://127.0.0.1:${to}`;
    await using connection = await connect({ url, token, webSocket: kind, transport: "websocket" });
    await connection.room("lobby").publish("t", 1);
    return count();
  };
  assert.equal(await open(port), 1);
  elapsed_ms += 599_000;
  assert.equal(await open(port), 1);
  elapsed_ms += 2_000;
  assert.equal(await open(port), 2);
  const direct = Number(new URL(bus.http_url).port);
  assert.deepEqual(
    [await open(direct), await open(direct)],
    [3, 4],
    "another origin has WebSocket",
  );
  await assert.rejects(open(direct, "e30.e30.c2ln"), { reason: "token-malformed" });
  assert.equal(await open(direct), 6, "a refused token says nothing of WebSocket");
}

/** A WebSocket that is cut off once the Shield has sent something. */
class CutSocket implements SocketLike {
  static count = 0;
  binaryType = "arraybuffer";
  readonly bufferedAmount = 0;
  onmessage: SocketLike["onmessage"] = null;
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  readonly #socket: WebSocket;

  constructor(url: string, protocols: string[]) {
    CutSocket.count++;
    this.#socket = new WebSocket(url, protocols);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => {
      this.#socket.close();
      this.onmessage?.({ data });
      this.onclose?.({ code: 1006, reason: "" });
    };
  }

  send(): void {}

  close(): void {}
}

async function isGivenUp(bus: TestBus): Promise<void> {
  const memory: Memory = { origins: new Map(), elapsed: () => 1_000 };
  await using connection = await connect({
    url: bus.http_url,
    token: bus.token,
    transport: "websocket",
    webSocket: fallbackSocket(CutSocket, memory),
    backoff: { base_ms: 1, max_ms: 2 },
  });
  await until(
    "two have broken",
    () => CutSocket.count === 2 && connection.status.state === "open",
  );
  await connection.room("lobby").publish("t", 1);
  assert.equal(CutSocket.count, 2);
}

Deno.test("the SDK goes by HTTP where WebSocket does not open", async (t) => {
  const bus = await running();
  const port = Number(new URL(bus.http_url).port);
  await using nginx = await startNginx(port, false, NO_UPGRADE);
  await using haproxy = await startHaproxy(port, "no-upgrade");
  await t.step("behind nginx without upgrade headers", () => talks(bus, nginx.port));
  await t.step("behind HAProxy without upgrade headers", () => talks(bus, haproxy.port));
  await t.step("WebSocket is tried again later", () => isTriedAgain(bus, nginx.port));
  await t.step("where each WebSocket is cut off soon", () => isGivenUp(bus));
  await t.step("on a platform without WebSocket", async () => {
    const webSocket = fallbackSocket(undefined);
    await using connection = await connect({ url: bus.http_url, token: bus.token, webSocket });
    await connection.room("lobby").publish("t", 1);
  });
  await t.step("another transport is a mistake", async () => {
    const options = { url: bus.http_url, token: bus.token, transport: "udp" as "http" };
    await assert.rejects(connect(options), { name: "TypeError", message: WRONG });
  });
});

// Readers of events on two Shields and NATS: a drain loses nothing. Tickets: the reader `ticket` of `tests/model`.

Deno.test("a reader moves to another Shield without a gap", async () => {
  await using nats = await startNats({ jetstream: true });
  const rooms = '[[rooms]]\nroom = "kept"\ndurable = true\nhistory_size = 1_000\n';
  const config = `[server]\ndrain_ms = 1_000\n[nats]\nurls = ["${nats.url}"]\n${rooms}`;
  await using one = await startLocalBus(config);
  await using two = await startLocalBus(config);
  const first = one.http_url;
  const second = two.http_url;
  const { token } = one;
  const publishing = new HttpPeer(second, token);
  let sent = 0;
  const publish = () => publishing.done("POST", "rooms/kept/messages", { type: "t", data: ++sent });
  const got: number[] = [];
  let last = "";
  const take = async (from: EventReader): Promise<string | undefined> => {
    const event = await from.next();
    if (event?.name === "message") got.push(event.data.data);
    if (event?.id) last = event.id;
    return event?.name;
  };
  using moving = await EventReader.open(`${first}/v1/rooms/kept/events`, { token });
  await moving.until("subscribed");
  for (let n = 0; n < 5; n++) await publish();
  const stopped = one.stop();
  // It is closed within the window, while messages continue.
  for (let name; (name = await take(moving)) !== undefined;) {
    if (name === "signal") { for (let n = 0; n < 5; n++) await publish(); }
  }
  for (let n = 0; n < 5; n++) await publish();
  const headers = { "last-event-id": last };
  using moved = await EventReader.open(`${second}/v1/rooms/kept/events`, { token, headers });
  assert.equal((await moved.until("subscribed")).data.recovered, true);
  while (got.length < sent) assert.notEqual(await take(moved), undefined);
  assert.deepEqual(got, Array.from({ length: sent }, (_, at) => at + 1));
  assert.ok(sent >= 15);
  await stopped;
});

Deno.test("a command that waits in vain for a version names it", async () => {
  await using bus = await startLocalBus("#constant limits.command_timeout_ms = 200\n");
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "waits" }));
  const { status, body } = await peer.call("GET", "rooms/lobby/state?after_version=9");
  assert.deepEqual([status, body.reason], [408, "command-timeout"]);
  assert.match(
    body.detail ?? body.message,
    /in 200 ms: lobby has not reached after_version 9, or its Brain/,
  );
});
