/**
 * The HTTP side of the client listener over real requests: auth, publish, CORS, refused upgrades. Also many messages
 * and rooms in one request.
 */
import assert from "node:assert/strict";
import { readAck, writeEnvelope } from "@arqon/proto";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

interface Call {
  method?: string;
  path?: string;
  token?: string | undefined;
  type?: string;
  body?: string | Uint8Array<ArrayBuffer>;
  headers?: Record<string, string>;
}

async function call(bus: TestBus, options: Call): Promise<Response> {
  const { method = "POST", path = "/v1/rooms/web/messages", token = bus.token, body } = options;
  return await fetch(bus.http_url + path, {
    method,
    headers: {
      ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
      ...(options.type === undefined ? {} : { "content-type": options.type }),
      ...options.headers,
    },
    ...(body === undefined ? {} : { body }),
  });
}

/** All refusals over HTTP: the call, the status and the reason. */
function refusals(expired: string): [name: string, call: Call, status: number, reason: string][] {
  const type = "application/json";
  const body = '{"type":"t"}';
  return [
    ["no token", { type, body, token: "" }, 401, "token-missing"],
    ["an expired token", { type, body, token: expired }, 401, "token-expired"],
    ["a token that is none", { type, body, token: "abc" }, 401, "token-malformed"],
    ["another content type", { type: "text/plain", body }, 415, "unsupported-media-type"],
    ["no content type", { body: new Uint8Array([1]) }, 415, "unsupported-media-type"],
    ["no object", { type, body: "[1]" }, 400, "malformed-body"],
    ["no UTF-8", { type, body: new Uint8Array([0xff]) }, 400, "malformed-body"],
    ["broken JSON", { type, body: "{" }, 400, "malformed-frame"],
    ["a room in the body", { type, body: '{"room":"x"}' }, 400, "repeated-field"],
    ["a bad room", { type, body, path: "/v1/rooms/a.b/messages" }, 400, "invalid-room"],
    ["a bad escape", { type, body, path: "/v1/rooms/%zz/messages" }, 400, "invalid-room"],
    ["a huge body", { type, body: " ".repeat(262_145) }, 413, "too-large"],
    ["a reserved type", { type, body: '{"type":"SYSTEM_X"}' }, 403, "reserved-type"],
    ["another tenant", { type, body: '{"tenant_id":"x"}' }, 403, "tenant-mismatch"],
    ["DELETE", { method: "DELETE" }, 405, "method-not-allowed"],
    ["another path", { method: "GET", path: "/nope" }, 404, "not-found"],
    ["no upgrade", { method: "GET", path: "/v1/socket" }, 400, "not-a-websocket"],
    [
      "broken Protobuf",
      { type: "application/protobuf", body: new Uint8Array([7]) },
      400,
      "malformed-frame",
    ],
    [
      "a strange origin",
      { type, body, headers: { origin: "https://evil.example" } },
      403,
      "origin-not-allowed",
    ],
  ];
}

async function refused(bus: TestBus, t: Deno.TestContext): Promise<void> {
  const expired = await bus.tokenFor({ ttl_seconds: -3_600 });
  for (const [name, options, status, reason] of refusals(expired)) {
    await t.step(name, async () => {
      const response = await call(bus, options);
      const problem = await response.json();
      assert.equal(response.status, status, JSON.stringify(problem));
      assert.equal(problem.reason, reason, JSON.stringify(problem));
      assert.equal(problem.status, status);
      assert.equal(problem.type, `urn:arqon:error:${reason}`);
      assert.equal(response.headers.get("content-type"), "application/problem+json");
      if (reason === "not-a-websocket") {
        assert.equal(response.headers.get("sec-websocket-version"), "13");
      }
      if (status === 401) assert.match(response.headers.get("www-authenticate") ?? "", /^Bearer /);
    });
  }
}

async function protobufBody(bus: TestBus): Promise<void> {
  const client = await openText(bus.url, bus.token);
  await ask(client, { op: "sub", room: "web" });
  const event = { type: "p", data: new Uint8Array([1]), content_type: "", schema_id: "" };
  const body = new Uint8Array(writeEnvelope({ event, request_id: 6 }));
  const response = await call(bus, { type: "application/protobuf", body });
  assert.equal(response.headers.get("content-type"), "application/protobuf");
  const ack = readAck(await response.bytes());
  assert.equal(ack.code, 0);
  assert.equal(ack.request_id, 6);
  assert.equal((await client.json()).type, "p");
  const set = { name: "room.set", data: new TextEncoder().encode('{"key":"a","value":1}') };
  const command = new Uint8Array(writeEnvelope({
    command: {
      ...set,
      content_type: "application/json",
      expect_version: 0,
      after_version: 0,
      fence: 0,
      epoch: "",
      command_id: "",
    },
  }));
  const answer = await call(bus, { type: "application/protobuf", body: command });
  const done = readAck(await answer.bytes());
  assert.equal(done.code, 0);
  assert.ok(JSON.parse(new TextDecoder().decode(done.result)).version > 0);
  client[Symbol.dispose]();
}

/** HEAD is GET without a body, and OPTIONS lists the methods, also for programs that are not pages. */
async function reads(bus: TestBus): Promise<void> {
  const path = "/v1/auth/check";
  const get = await call(bus, { method: "GET", path });
  const head = await call(bus, {
    method: "HEAD",
    path,
  });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-type"), get.headers.get("content-type"));
  const { tenant_id, user_id } = await get.json();
  assert.deepEqual([get.status, tenant_id, user_id], [200, "default", "dev"]);
  assert.equal(await head.text(), "");
  const strange = await call(bus, { method: "HEAD", path, token: "x.y.z" });
  assert.deepEqual([strange.status, await strange.text()], [401, ""]);
  const socket = await call(bus, { method: "HEAD", path: "/v1/socket" });
  assert.deepEqual([socket.status, socket.headers.get("allow")], [405, "GET, OPTIONS"]);
  const options = await call(bus, { method: "OPTIONS", path });
  assert.deepEqual([options.status, options.headers.get("allow")], [204, "GET, HEAD, OPTIONS"]);
  assert.equal(options.headers.get("access-control-allow-methods"), null);
  for (const url of [bus.http_url, bus.admin_url, bus.ops_url]) {
    for (const method of ["TRACE", "TRACK"]) {
      const answer = await raw(
        url,
        `${method} /v1/auth/check HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1.1 40[145] /, `${method} at ${url}: ${answer}`);
      if (url === bus.http_url) {
        assert.match(answer, /^HTTP\/1.1 405 [^]*\r\nallow: GET, HEAD, OPTIONS\r\n/i);
      }
    }
  }
}

/** The answer to raw bytes. */
async function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(text));
  return await new Response(connection.readable).text();
}

async function cors(bus: TestBus): Promise<void> {
  const headers = { origin: "http://localhost:5173" };
  const preflight = await call(bus, { method: "OPTIONS", headers });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-origin"), headers.origin);
  const allowed = preflight.headers.get("access-control-allow-headers")?.split(", ") ?? [];
  for (const name of ["authorization", "last-event-id", "traceparent", "tracestate", "baggage"]) {
    assert.ok(allowed.includes(name), `a page may send ${name}`);
  }
  await preflight.body?.cancel();
  const plain = await call(bus, { method: "GET", path: "/v1/auth/check" });
  assert.equal(plain.headers.get("vary"), "origin", "caches keep what pages may read apart");
  await plain.body?.cancel();
  const refusal = await call(bus, { method: "GET", path: "/v1/auth/check", token: "", headers });
  assert.equal(refusal.headers.get("access-control-allow-origin"), headers.origin);
  await refusal.body?.cancel();
}

async function upgrades(bus: TestBus): Promise<void> {
  const outcome = async (options: ConstructorParameters<typeof RawClient>[1]) => {
    const client = new RawClient(bus.url, options);
    const first = await Promise.race([client.closed(), client.frame().catch(() => "refused")]);
    client[Symbol.dispose]();
    return first;
  };
  const token = bus.token;
  assert.deepEqual(await outcome({ token, subprotocols: ["mqtt"] }), "refused");
  assert.deepEqual(await outcome({ token: "" }), "refused");
  const origin = { origin: "https://evil.example" };
  assert.deepEqual(await outcome({ token, headers: origin }), "refused");
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  for (const reason of ["unsupported-subprotocol", "token-missing", "origin-not-allowed"]) {
    assert.match(metrics, new RegExp(`shield_handshakes_total\\{outcome="${reason}"\\} 1`));
  }
}

/** docs/http-api.md: "A request's `traceparent` is the message's or command's trace." */
async function traced(bus: TestBus): Promise<void> {
  const trace_id = "0af7651916cd43dd8448eb211c80319c";
  const headers = { traceparent: `00-${trace_id}-b7ad6b7169203331-00` };
  const peer = new HttpPeer(bus.http_url, bus.token);
  const room = "orders-traced";
  const ways: readonly (readonly [method: string, path: string, body: unknown, type?: string])[] = [
    ["POST", `rooms/${room}/messages`, { type: "t", data: 1 }],
    ["POST", "messages", { rooms: [room], type: "t", data: 2 }],
    ["PUT", `streams/${room}`, [3]],
    ["POST", `streams/${room}`, [4]],
    ["POST", `rooms/${room}/streams`, "5", "text/plain"],
  ];
  for (const [method, path, body, type = "application/json"] of ways) {
    const { status } = await peer.call(method, path, body, { ...headers, "content-type": type });
    assert.ok(status < 300, `${method} ${path}: ${status}`);
  }
  const { messages } = await peer.history(room);
  assert.deepEqual(messages.map((one) => one.trace_id), ways.map(() => trace_id));
}

Deno.test("the HTTP side", async (t) => {
  await using bus = await startLocalBus();
  await t.step("refusals", (t) => refused(bus, t));
  await t.step("Protobuf in, Protobuf out, commands too", () => protobufBody(bus));
  await t.step("/v1/auth/check names the caller; HEAD and OPTIONS are answered", () => reads(bus));
  await t.step("browsers of allowed origins may call", () => cors(bus));
  await t.step("upgrades are refused before they happen, and counted", () => upgrades(bus));
  await t.step("all messages of a request are in its trace", () => traced(bus));
});

// `POST /v1/messages` on a running bus: many messages and many rooms in one request, each with its own answer; and what
// is refused as a whole. The source `batch` of `tests/model/` covers order, policies and schemas.

const CONFIG = `
[limits]
max_frame_bytes = 100_000
messages_per_second = 40
[auth]
require_signature = [{ role = "user", room = "signed" }]
${durableRooms("kept-*", "history_size = 1_000")}
`;

interface Stage {
  readonly bus: TestBus;
  readonly peer: HttpPeer;
}

interface Ack {
  readonly id: number | string;
  readonly code: number;
  readonly reason?: string;
  readonly offset?: number;
}

const named = (acks: readonly Ack[]) =>
  acks.map(({ code, reason = "" }) => `${code} ${reason}`.trim());

async function toRooms({ bus, peer }: Stage): Promise<void> {
  const client = await openText(bus.url, bus.token);
  for (const room of ["a", "b"]) await ask(client, { op: "sub", room });
  const text =
    '{"rooms":["a","b","no.room"],"type":"news","data":{"n": 9007199254740993},"message_id":"m1"}';
  for (let time = 0; time < 2; time++) {
    const { status, body } = await peer.call("POST", "messages", text);
    assert.deepEqual([status, body.refused], [200, 1]);
    assert.deepEqual(named(body.results), ["0", "0", "400 invalid-room"]);
  }
  for (const room of ["a", "b"]) {
    const frame = String(await client.raw());
    assert.match(
      frame,
      new RegExp(`"room":"${room}","type":"news","data":\\{"n": 9007199254740993\\}`),
    );
  }
  // The duplicate has been dropped: the next one is a different message.
  await peer.call("POST", "messages", { rooms: ["a"], type: "last" });
  assert.equal((await client.json()).type, "last");
  client[Symbol.dispose]();
}

/** Each kind of refusal beside messages that pass. */
async function partial({ bus, peer }: Stage): Promise<void> {
  const messages = [
    { room: "a", type: "ok", id: 1 },
    { room: "a.b", id: 2 },
    { room: "a", type: "SYSTEM_X", id: 3 },
    { room: "a", kind: "x", id: 4 },
    { type: "none", id: 5 },
    "text",
    { room: "a", data: "x".repeat(100_000), id: 7 },
    { room: "a", tenant_id: "other", id: 8 },
    { room: "signed", id: 9 },
    { room: "a", op: "cmd", id: 10 },
    { room: "a", type: "ok", id: "18446744073709551615" },
  ];
  const { status, body } = await peer.call("POST", "messages", { messages });
  assert.equal(status, 200);
  assert.deepEqual(named(body.results), [
    "0",
    "400 invalid-room",
    "403 reserved-type",
    "400 unknown-field",
    "400 invalid-room",
    "400 malformed-body",
    "413 too-large",
    "403 tenant-mismatch",
    "403 signature-required",
    "400 repeated-field",
    "0",
  ]);
  assert.equal(body.refused, 9);
  const ids = [1, 2, 3, 4, 5, 0, 0, 8, 9, 10, "18446744073709551615"];
  assert.deepEqual(body.results.map(({ id }: Ack) => id), ids);
  const grants = [{ room: "mine-*", actions: ["publish"] }];
  const narrow = new HttpPeer(bus.http_url, await bus.tokenFor({ claims: { grants } }));
  const both = await narrow.call("POST", "messages", { rooms: ["mine-1", "a"] });
  assert.deepEqual(named(both.body.results), ["0", "403 not-granted"]);
  const mod = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "mod", role: "service" }));
  await mod.done("POST", "rooms/barred/bans", { user_id: "dev" });
  const barred = await peer.call("POST", "messages", { rooms: ["barred", "a"] });
  assert.deepEqual(named(barred.body.results), ["403 room-banned", "0"]);
}

async function wholes({ bus, peer }: Stage): Promise<void> {
  const many = (count: number) => ({
    messages: Array.from({ length: count }, () => ({ room: "a" })),
  });
  const cases: [body: unknown, refusal: string][] = [
    ["{", "400 malformed-body"],
    ["[]", "400 malformed-body"],
    [{}, "400 malformed-body"],
    [{ messages: [] }, "400 malformed-body"],
    [{ messages: {} }, "400 malformed-body"],
    [{ rooms: [] }, "400 malformed-body"],
    [{ rooms: ["a", 1] }, "400 malformed-body"],
    [{ rooms: ["a", "a"] }, "400 malformed-body"],
    [{ rooms: ["a"], messages: [{ room: "a" }] }, "400 unknown-field"],
    [{ messages: [{ room: "a" }], type: "x" }, "400 unknown-field"],
    [{ rooms: ["a"], room: "b" }, "400 unknown-field"],
    [{ rooms: ["a"], kind: "b" }, "400 unknown-field"],
    ['{"rooms":["a"],"rooms":["b"]}', "400 repeated-field"],
    [many(301), "413 too-large"],
    [{ rooms: ["a"], data: "x".repeat(400_000) }, "413 too-large"],
  ];
  for (const [body, refusal] of cases) {
    assert.equal(
      await peer.refused("POST", "messages", body),
      refusal,
      JSON.stringify(body).slice(0, 80),
    );
  }
  const typed = await peer.call("POST", "messages", "{}", { "content-type": "text/plain" });
  assert.deepEqual([typed.status, typed.body.reason], [415, "unsupported-media-type"]);
  assert.equal(await peer.refused("GET", "messages"), "405 method-not-allowed");
  assert.equal(await peer.refused("POST", "messages?x=1", many(1)), "400 unknown-field");
  const nobody = new HttpPeer(bus.http_url, "x.y.z");
  assert.equal(await nobody.refused("POST", "messages", many(1)), "401 token-malformed");
  const page = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(page, /shield_ingress_ops\{[^}]*op="http_batch"[^}]*\} [1-9]/);
  assert.match(page, /shield_rejects_total\{[^}]*reason="too-large"[^}]*\} [3-9]/);
}

/** Each message is one operation, so a batch exceeds the burst of two hundred. */
async function rates({ bus }: Stage): Promise<void> {
  const token = await bus.tokenFor({ user: "fast" });
  const peer = new HttpPeer(bus.http_url, token);
  const messages = Array.from({ length: 300 }, () => ({ room: "fast", type: "x" }));
  const { status, body } = await peer.call("POST", "messages", { messages });
  assert.equal(status, 200);
  const refused = body.results.filter(({ code }: Ack) => code !== 0);
  assert.deepEqual(new Set(named(refused)), new Set(["429 rate-limited"]));
  assert.ok(refused.every((ack: { retry_after_ms?: number }) => ack.retry_after_ms! > 0));
}

Deno.test("messages in batches", async (t) => {
  await using bus = await startLocalBus(CONFIG + PATIENT_POLICIES, {
    constants: { limits: { batch_messages: 300, batch_bytes: 400_000 } },
  });
  const stage = { bus, peer: new HttpPeer(bus.http_url, bus.token) };
  await t.step("one message for many rooms, and its repetition", () => toRooms(stage));
  await t.step("a refused message stops none after it", () => partial(stage));
  await t.step("an invalid batch has no effect", () => wholes(stage));
  await t.step("rates count each", () => rates(stage));
});
