/** Every limit of `[limits]` is crossed once, over real sockets, on a bus with small limits. */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { REFUSALS_BEFORE_REST } from "../shield/rates/rates.ts";
import { openText, RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade, sendUpgrade } from "./peers/raw_upgrade.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[limits]
max_frame_bytes = 65_536
close_frame_bytes = 131_072
messages_per_second = 20
bytes_per_second = 100_000
rooms_per_connection = 2
connections_per_user = 2
connections_per_tenant = 3
connections_per_process = 5
headers = 2
header_bytes = 40
field_bytes = 16
token_bytes = 1_024
`;

async function messages(bus: TestBus): Promise<void> {
  const client = await openText(bus.url, await bus.tokenFor({ user: "fast" }));
  for (let index = 0; index < 60; index++) client.send({ op: "pub", room: "r", id: index + 1 });
  const answers = [];
  for (let index = 0; index < 60; index++) answers.push(await client.json());
  const refused = answers.filter(({ code }) => code === 429);
  assert(refused.length > 0 && refused.length <= 20, `${refused.length} refused`);
  assert.equal(refused[0].reason, "rate-limited");
  assert(refused[0].retry_after_ms > 0);
  client[Symbol.dispose]();
}

async function bytes(bus: TestBus): Promise<void> {
  const client = await openText(bus.url, await bus.tokenFor({ user: "fat" }));
  const data = "x".repeat(60_000);
  for (let id = 1; id <= 5; id++) client.send({ op: "pub", room: "r", data, id });
  const codes = [];
  for (let index = 0; index < 5; index++) codes.push((await client.json()).code);
  assert(codes.includes(0) && codes.includes(429), codes.join());
  client[Symbol.dispose]();
}

async function rooms(bus: TestBus): Promise<void> {
  const client = await openText(bus.url, await bus.tokenFor({ user: "roomy" }));
  const codes = [];
  for (const [index, room] of ["a", "b", "c", "a"].entries()) {
    client.send({ op: "sub", room, id: index + 1 });
  }
  for (let index = 0; index < 4; index++) {
    const { id, code, reason } = await client.json();
    codes[id - 1] = code;
    if (code !== 0) assert.equal(reason, "too-many-rooms");
  }
  assert.deepEqual(codes, [0, 0, 429, 0], "a room that is already there counts once");
  client[Symbol.dispose]();
}

async function envelope(bus: TestBus): Promise<void> {
  const client = await openText(bus.url, await bus.tokenFor({ user: "long" }));
  const refusal = async (more: object) => {
    client.send({ op: "pub", room: "r", id: 1, ...more });
    return (await client.json()).reason;
  };
  assert.equal(await refusal({ headers: { a: "1", b: "2", c: "3" } }), "too-many-headers");
  assert.equal(await refusal({ headers: { a: "x".repeat(41) } }), "too-many-headers");
  assert.equal(await refusal({ message_id: "x".repeat(17) }), "invalid-field");
  assert.equal(await refusal({ type: "x".repeat(17) }), "invalid-field");
  client.send({ op: "pub", room: "r", data: "x".repeat(65_536) });
  assert.equal((await client.json()).reason, "too-large");
  client.send({ op: "pub", room: "r", data: "x".repeat(131_072) });
  assert.equal((await client.json()).reason, "frame-too-large");
  assert.equal((await client.closed()).code, 4413);
}

/** Until the Shield has noticed that earlier clients left. */
async function nobodyConnected(bus: TestBus): Promise<void> {
  const metrics = () => fetch(`${bus.ops_url}/metrics`).then((response) => response.text());
  const nobody = async () => /^shield_active_connections 0$/m.test(await metrics());
  await until("nobody is connected", nobody);
}

async function connections(bus: TestBus): Promise<void> {
  await nobodyConnected(bus);
  const open: RawClient[] = [];
  const join = async (user: string, tenant: string) => {
    open.push(await openText(bus.url, await bus.tokenFor({ user, tenant })));
  };
  await join("u1", "t1");
  await join("u1", "t1");
  const third = await bus.tokenFor({ user: "u1", tenant: "t1" });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token: third }), [
    "429",
    "too-many-connections",
  ]);
  await join("u2", "t1");
  const fourth = await bus.tokenFor({ user: "u3", tenant: "t1" });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token: fourth }), [
    "429",
    "too-many-connections",
  ]);
  await join("u4", "t2");
  await join("u5", "t2");
  const sixth = await bus.tokenFor({ user: "u3", tenant: "t3" });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token: sixth }), ["503", "at-capacity"]);
  for (const client of open) client[Symbol.dispose]();
}

async function tokens(bus: TestBus): Promise<void> {
  const long = await bus.tokenFor({ claims: { padding: "x".repeat(2_000) } });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token: long }), ["401", "token-too-large"]);
}

/** A client that never reads: its kernel buffers fill, then ours, then it is cut off. */
Deno.test("unsent bytes: a client that never reads is closed with 4429", async () => {
  await using bus = await startLocalBus("[limits]\nunsent_bytes = 65_536\n");
  const token = await bus.tokenFor({ user: "slow", tenant: "slow" });
  const headers = ["Sec-WebSocket-Protocol: arqon.v1.json"];
  const socket = await sendUpgrade(bus.http_url, { token, headers });
  const subscribe = new TextEncoder().encode('{"op":"sub","room":"flood"}');
  const frame = new Uint8Array([0x81, 0x80 | subscribe.length, 0, 0, 0, 0, ...subscribe]);
  const answer = new Uint8Array(4_096);
  await socket.read(answer);
  await socket.write(frame);
  const body = JSON.stringify({ type: "t", data: "x".repeat(60_000) });
  const publisher = await bus.tokenFor({ user: "pub", tenant: "slow" });
  const rejected = () =>
    fetch(`${bus.ops_url}/metrics`).then((response) => response.text()).then((text) =>
      /shield_closes_total\{code="4429"\} 1/.test(text)
    );
  const deadline_ms = Date.now() + 60_000;
  while (!await rejected()) {
    assert(Date.now() < deadline_ms, "the slow reader was never cut off");
    const response = await fetch(`${bus.http_url}/v1/rooms/flood/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${publisher}`, "content-type": "application/json" },
      body,
    });
    await response.body?.cancel();
  }
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /shield_rejects_total\{reason="slow-consumer"\} 1/);
  assert.match(metrics, /^shield_unsent_bytes 0$/m);
  socket.close();
});

Deno.test("every limit is crossed once", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  await t.step("messages a second: rate-limited with retry_after_ms", () => messages(bus));
  await t.step("bytes a second", () => bytes(bus));
  await t.step("rooms of a connection", () => rooms(bus));
  await t.step("headers, header bytes, field bytes, frame bytes", () => envelope(bus));
  await t.step("token bytes", () => tokens(bus));
  await t.step("connections of a user, a tenant, the process", () => connections(bus));
});

Deno.test("a connection over the limit can come back when another leaves", async () => {
  await using bus = await startLocalBus("[limits]\nconnections_per_process = 1\n");
  const first = await openText(bus.url, bus.token);
  const refused = new RawClient(bus.url, { token: bus.token });
  await assert.rejects(refused.frame());
  first.socket.close();
  await first.closed();
  (await openText(bus.url, bus.token))[Symbol.dispose]();
});

const RATES = `
[limits]
user_messages_per_second = 30
tenant_messages_per_second = 50
`;

/** What a burst of so many messages is answered with; the rates go on filling meanwhile. */
async function burst(bus: TestBus, user: string, count: number): Promise<string[]> {
  using client = await openText(bus.url, await bus.tokenFor({ user, tenant: "rated" }));
  for (let id = 1; id <= count; id++) client.send({ op: "pub", room: "r", id });
  const refusals = [];
  for (let id = 1; id <= count; id++) {
    const { code, reason, message } = await client.json();
    if (code === 0) continue;
    assert.deepEqual([code, reason], [429, "rate-limited"]);
    refusals.push(message);
  }
  return refusals;
}

Deno.test("a user's connections and HTTP requests share one rate, a tenant's users another", async () => {
  await using bus = await startLocalBus(RATES);
  const user_refusals = await burst(bus, "ann", 5_000);
  assert.match(
    user_refusals[0] ?? "",
    /^Rate limited: this user has 30 messages a second; retry after/,
  );
  const response = await fetch(`${bus.http_url}/v1/rooms/r/messages`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await bus.tokenFor({ user: "ann", tenant: "rated" })}`,
      "content-type": "application/json",
    },
    body: "{}",
  });
  const problem = await response.json();
  // Requests are slow enough that the rate may have filled; then it was not refused for another reason.
  assert.ok(response.status === 200 || /this user has 30/.test(problem.detail), problem.detail);
  const refusals = (await Promise.all(["bob", "eve", "joe"].map((user) => burst(bus, user, 5_000))))
    .flat();
  assert.ok(refusals.some((message) => message.includes("this tenant has 50 messages a second")));
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_rate_refusals_total\{scope="user"\} [1-9]/m);
  assert.match(metrics, /^shield_rate_refusals_total\{scope="tenant"\} [1-9]/m);
  assert.match(metrics, /^shield_rate_refusals_total\{scope="process"\} 0$/m);
});

Deno.test("a client that goes on after 429 is closed, one that waits is not", async () => {
  // Sockets that can stop reading make a client wait that sends on.
  await using bus = await startLocalBus(
    `[server]\nwebsocket = "native"\n[limits]\nmessages_per_second = 1\nrate_refusals = 200\n`,
  );
  const client = await openText(bus.url, bus.token);
  for (let round = 0; round < 3; round++) {
    for (let id = 1; id <= 150; id++) client.send({ op: "pub", room: "r", id });
    let wait_ms = 0;
    for (let id = 1; id <= 150; id++) wait_ms = (await client.json()).retry_after_ms ?? wait_ms;
    // Longer than advised is as good.
    await pace(wait_ms + 20);
  }
  // One by one: a socket that is closed with frames unread is reset, and its last words are lost.
  for (let excess = 0; excess <= 200;) {
    client.send({ op: "pub", room: "r", id: 1 });
    excess = (await client.json()).code === 429 ? excess + 1 : Math.max(0, excess - 1);
  }
  const { op, reason } = await client.json();
  assert.deepEqual([op, reason], ["err", "flooding"]);
  assert.deepEqual(await client.closed(), { code: 4429, reason: "flooding" });
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_closes_total\{code="4429"\} 1$/m);
  assert.match(metrics, /^shield_rejects_total\{reason="flooding"\} 1$/m);
});

Deno.test("a burst hears of each message that was too much", async () => {
  await using bus = await startLocalBus("[limits]\nmessages_per_second = 2\n");
  const client = await openText(bus.url, bus.token);
  const sent = 4 + REFUSALS_BEFORE_REST + 20;
  for (let id = 1; id <= sent; id++) client.send({ op: "pub", room: "r", id });
  const codes: number[] = [];
  for (let id = 1; id <= sent; id++) codes.push((await client.json()).code);
  // While they come, some find a place that has become free.
  assert.ok(codes.filter((code) => code === 429).length >= REFUSALS_BEFORE_REST, codes.join());
});
