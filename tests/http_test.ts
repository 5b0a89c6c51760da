/** The HTTP side of the client listener over real requests: auth, publish, CORS, upgrade refusals. */
import assert from "node:assert/strict";
import { readAck, writeEnvelope } from "@arqon/proto";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openText, RawClient } from "./peers/raw_client.ts";

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

/** Every refusal over HTTP: the call, the status and the reason. */
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
      if (status === 401) assert.match(response.headers.get("www-authenticate") ?? "", /^Bearer /);
    });
  }
}

async function protobufBody(bus: TestBus): Promise<void> {
  const client = await openText(bus.url, bus.token);
  client.send({ op: "sub", room: "web", id: 1 });
  await client.json();
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

async function check(bus: TestBus): Promise<void> {
  const path = "/v1/auth/check";
  const good = await call(bus, { method: "GET", path });
  assert.equal(good.status, 200);
  const body = await good.json();
  assert.equal(body.tenant_id, "default");
  assert.equal(body.user_id, "dev");
  const bad = await call(bus, { method: "GET", path, token: "x.y.z" });
  assert.equal(bad.status, 401);
  assert.equal((await bad.json()).reason, "token-malformed");
}

/** HEAD is GET without a body, and OPTIONS says the methods, to programs that are no pages too. */
async function reads(bus: TestBus): Promise<void> {
  const path = "/v1/auth/check";
  const [get, head] = [
    await call(bus, { method: "GET", path }),
    await call(bus, {
      method: "HEAD",
      path,
    }),
  ];
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-type"), get.headers.get("content-type"));
  assert.notEqual(await get.text(), "");
  assert.equal(await head.text(), "");
  const strange = await call(bus, { method: "HEAD", path, token: "x.y.z" });
  assert.deepEqual([strange.status, await strange.text()], [401, ""]);
  const socket = await call(bus, { method: "HEAD", path: "/v1/socket" });
  assert.deepEqual([socket.status, socket.headers.get("allow")], [405, "GET, OPTIONS"]);
  const options = await call(bus, { method: "OPTIONS", path });
  assert.deepEqual([options.status, options.headers.get("allow")], [204, "GET, HEAD, OPTIONS"]);
  assert.equal(options.headers.get("access-control-allow-methods"), null);
}

async function cors(bus: TestBus): Promise<void> {
  const headers = { origin: "http://localhost:5173" };
  const preflight = await call(bus, { method: "OPTIONS", headers });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-origin"), headers.origin);
  assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /authorization/);
  await preflight.body?.cancel();
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

async function admin(bus: TestBus): Promise<void> {
  const get = async (token: string) =>
    await fetch(`${bus.admin_url}/v1/status`, { headers: { authorization: `Bearer ${token}` } });
  const user = await get(bus.token);
  assert.equal(user.status, 403);
  assert.equal((await user.json()).reason, "role-forbidden");
  const response = await get(await bus.tokenFor({ role: "admin" }));
  assert.equal(response.status, 200);
  const status = await response.json();
  assert.equal(status.spine.state, "connected");
  const none = await fetch(`${bus.admin_url}/v1/status`);
  assert.equal(none.status, 401);
  await none.body?.cancel();
}

Deno.test("the HTTP side", async (t) => {
  await using bus = await startLocalBus();
  await t.step("refusals", (t) => refused(bus, t));
  await t.step("Protobuf in, Protobuf out, commands too", () => protobufBody(bus));
  await t.step("/v1/auth/check says what the upgrade would", () => check(bus));
  await t.step("HEAD and OPTIONS are answered", () => reads(bus));
  await t.step("browsers of allowed origins may call", () => cors(bus));
  await t.step("upgrades are refused before they happen, and counted", () => upgrades(bus));
  await t.step("the admin API needs role admin", () => admin(bus));
});
