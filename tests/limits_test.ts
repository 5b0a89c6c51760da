/**
 * Limits of `[limits]` that are not live keys (`live_config_test.ts` has those), exceeded over real sockets. Also the
 * shares of tenants, connections and unauthenticated clients under load.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { samplesOf } from "./harness/server_state.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { send } from "./peers/own_connections.ts";
import { enforce } from "./peers/policy_admin.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade, sendUpgrade } from "./peers/raw_upgrade.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[limits]
max_frame_bytes = 65_536
#constant limits.close_frame_bytes = 131_072
connections_per_process = 2
#constant limits.headers = 2
`;

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

/** Waits until the Shield has noticed that earlier clients disconnected. */
async function nobodyConnected(bus: TestBus): Promise<void> {
  await until(
    "nobody is connected",
    async () => (await samplesOf(bus.ops_url)).get("shield_active_connections") === 0,
  );
}

async function connections(bus: TestBus): Promise<void> {
  await nobodyConnected(bus);
  const open: RawClient[] = [];
  const join = async (user: string, tenant: string) => {
    open.push(await openText(bus.url, await bus.tokenFor({ user, tenant })));
  };
  await join("u1", "t1");
  await join("u2", "t2");
  const third = await bus.tokenFor({ user: "u3", tenant: "t3" });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token: third }), ["503", "at-capacity"]);
  for (const client of open) client[Symbol.dispose]();
}

/** A client that never reads: its kernel buffers fill up, then ours, then it is disconnected. */
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
  const rejected = async () =>
    (await samplesOf(bus.ops_url)).get('shield_closes_total{code="4429"}') === 1;
  const deadline_ms = Date.now() + 60_000;
  while (!await rejected()) {
    assert(Date.now() < deadline_ms, "the slow reader was never cut off");
    const response = await send(`${bus.http_url}/v1/rooms/flood/messages`, publisher, "POST", body);
    await response.body?.cancel();
  }
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /shield_rejects_total\{reason="slow-consumer"\} 1/);
  assert.match(metrics, /^shield_unsent_bytes 0$/m);
  socket.close();
});

Deno.test("sizes of messages and processes are bounded", async (t) => {
  await using bus = await startLocalBus(CONFIG, {
    constants: { limits: { header_bytes: 40, field_bytes: 16 } },
  });
  await t.step("headers, header bytes, field bytes, frame bytes", () => envelope(bus));
  await t.step("connections of the process", () => connections(bus));
});

Deno.test("a client that continues after 429 is closed, one that waits is not", async () => {
  // Sockets with back-pressure make a client that continues to send wait.
  await using bus = await startLocalBus(
    `[server]\nwebsocket = "native"\n[limits]\nmessages_per_second = 1\n#constant limits.rate_refusals = 200\n`,
  );
  const client = await openText(bus.url, bus.token);
  for (let round = 0; round < 3; round++) {
    for (let id = 1; id <= 150; id++) client.send({ op: "pub", room: "r", id });
    let wait_ms = 0;
    for (let id = 1; id <= 150; id++) wait_ms = (await client.json()).retry_after_ms ?? wait_ms;
    // A longer pause than advised is fine, too; a shorter one than this does not count as a pause.
    await pace(Math.max(100, wait_ms) + 20);
  }
  // All at once, since a slow round trip is a pause; and no more than required, since closing a socket with unread
  // frames resets it, and its last frames are lost. The first is accepted, and answered alone: otherwise its answer
  // could come after others, and count less for them.
  await ask(client, { op: "pub", room: "r" });
  for (let excess = 0; excess <= 200;) {
    const sent = 201 - excess;
    for (let id = 1; id <= sent; id++) client.send({ op: "pub", room: "r", id });
    for (let id = 1; id <= sent; id++) {
      excess = (await client.json()).code === 429 ? excess + 1 : Math.max(0, excess - 1);
    }
  }
  const { op, reason } = await client.json();
  assert.deepEqual([op, reason], ["err", "flooding"]);
  assert.deepEqual(await client.closed(), { code: 4429, reason: "flooding" });
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_closes_total\{code="4429"\} 1$/m);
  assert.match(metrics, /^shield_rejects_total\{reason="flooding"\} 1$/m);
});

// Two tenants on a Shield at its limit: one sends many times what the process allows, the other half its share.
// Counted, not timed.

const RATE = 200;

/** Kinds of sockets that refuse each excess message, and that slow down the sender. */
const KINDS = { native: "refuses", own: "slows" } as const;

const configOf = (websocket: string) => `
[server]
websocket = "${websocket}"
[limits]
process_messages_per_second = ${RATE}
#constant limits.rate_refusals = 1_000_000_000
`;

/** Operations of the flood in flight at a time. */
const WINDOW = 200;

const MODEST = 150;

/** Half its share of the rate. */
const PAUSE_MS = 1_000 / (RATE / 2 / 2);

interface Flood {
  taken: number;
  refused: number;
}

/** Sends one window after another, each when the previous one is answered, until aborted. */
async function flood(bus: TestBus, counts: Flood, signal: AbortSignal): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor({ tenant: "loud" }));
  while (!signal.aborted) {
    for (let id = 1; id <= WINDOW; id++) client.send({ op: "pub", room: "r", data: id, id });
    for (let id = 1; id <= WINDOW; id++) {
      const answer = await client.json();
      if (answer.code === 0) counts.taken++;
      else {
        assert.equal(answer.reason, "rate-limited");
        assert.match(
          answer.message,
          /^Rate limited: this process has 200 messages a second, which its/,
        );
        counts.refused++;
      }
    }
  }
}

/** The modest tenant's refused messages, and the flood's answers during each of its messages. */
async function modestly(bus: TestBus, counts: Flood) {
  using modest = await openText(bus.url, await bus.tokenFor({ tenant: "modest" }));
  let refused = 0;
  const meanwhile: number[] = [];
  for (let id = 1; id <= MODEST; id++) {
    await pace(PAUSE_MS);
    const before = counts.taken + counts.refused;
    modest.send({ op: "pub", room: "r", data: id, id });
    if ((await modest.json()).code !== 0) refused++;
    meanwhile.push(counts.taken + counts.refused - before);
  }
  return { refused, median: meanwhile.toSorted((a, b) => a - b)[MODEST / 2] ?? Infinity };
}

for (const [websocket, does] of Object.entries(KINDS)) {
  Deno.test(`a tenant that floods the process leaves another its share, and answers in time (${websocket})`, async () => {
    await using bus = await startLocalBus(configOf(websocket));
    const counts: Flood = { taken: 0, refused: 0 };
    const began_ms = performance.now();
    const stop = new AbortController();
    const flooding = flood(bus, counts, stop.signal);
    const beyond = does === "refuses" ? WINDOW : 1;
    await until("a flood over its rate", () => counts.refused >= beyond);
    const { refused, median } = await modestly(bus, counts);
    stop.abort();
    await flooding;
    assert.ok(refused <= MODEST * 0.05, `${refused} of ${MODEST} refused`);
    const seconds = (performance.now() - began_ms) / 1_000;
    // A bucket holds the operations of two seconds.
    const most = RATE * (seconds + 2);
    assert.ok(counts.taken <= most, `${counts.taken} of the flood taken in ${seconds} s`);
    assert.ok(counts.refused > 0, "the flood is over its rate");
    assert.ok(counts.taken > 0, "the flood has its share too");
    // Waiting for the flood's end, or in one queue for everybody, would show far more.
    assert.ok(median <= WINDOW * 2, `${median} answers of the flood before one of the other's`);
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    const total = counts.refused + refused;
    assert.ok(
      metrics.includes(`shield_rate_refusals_total{scope="process"} ${total}\n`),
      metrics,
    );
    assert.ok(metrics.includes('shield_rates{scope="tenant"} '));
  });
}

// A slow policy holds a connection's messages: a limited number of messages and bytes waits, the excess is refused, and
// other connections continue meanwhile.

const HELD = 16;

const SLOW_POLICY = `
[limits]
#constant limits.pending_operations = ${HELD}
#constant limits.pending_bytes = 65_536
[policy]
workers = 1
stall_ms = 60_000
timeout_ms = 60_000
fuel_per_second = 1_000_000_000_000
[platform.overseer]
fuel_limit = 1_000_000
`;

/** About 20 ms; all waiting messages are done before `stall_ms`, on a slow machine, too. */
const SLOW = `(local $left i32) (local.set $left (i32.const 20000000))
  (loop (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) (i32.const 0)`;

const slowDown = (bus: TestBus, tenant: string) =>
  enforce(bus, guest({ hook: SLOW }), { tenant, name: "slow" });

interface Answers {
  readonly taken: number[];
  readonly refused: number[];
}

/** Reads answers until `until` returns true, or the first refusal. */
async function read(client: RawClient, answers: Answers, until: () => boolean): Promise<Answers> {
  while (!until()) {
    const { id, code, reason, retry_after_ms } = await client.json();
    (code === 0 ? answers.taken : answers.refused).push(id);
    if (code !== 0) {
      assert.deepEqual([code, reason, retry_after_ms], [429, "too-many-pending", 100]);
    }
  }
  return answers;
}

async function operations(bus: TestBus): Promise<void> {
  using slow = await openText(bus.url, await bus.tokenFor({ tenant: "slow" }));
  using other = await openText(bus.url, await bus.tokenFor({ tenant: "other" }));
  const count = 100;
  for (let id = 1; id <= count; id++) slow.send({ op: "pub", room: "r", data: id, id });
  const answers: Answers = { taken: [], refused: [] };
  await read(slow, answers, () => answers.refused.length > 0);
  for (let data = 1; data <= 5; data++) await ask(other, { op: "pub", room: "r", data });
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_pending_operations [1-9]/m, "the other was done before");
  await read(slow, answers, () => answers.taken.length + answers.refused.length === count);
  assert.ok(answers.taken.length >= HELD, `${answers.taken.length} taken`);
  assert.deepEqual(answers.taken, answers.taken.toSorted((a, b) => a - b), "in their order");
}

async function bytesWait(bus: TestBus): Promise<void> {
  using slow = await openText(bus.url, await bus.tokenFor({ tenant: "slow" }));
  const data = "x".repeat(30_000);
  for (let id = 1; id <= 10; id++) slow.send({ op: "pub", room: "r", data, id });
  const answers: Answers = { taken: [], refused: [] };
  await read(slow, answers, () => answers.taken.length + answers.refused.length === 10);
  assert.deepEqual(answers.taken.slice(0, 2), [1, 2]);
  assert.ok(answers.refused.length > 0);
}

Deno.test("the number of messages that wait for policies is limited, and others continue", async (t) => {
  await using bus = await startLocalBus(SLOW_POLICY);
  await slowDown(bus, "slow");
  await t.step("operations of one connection", () => operations(bus));
  await t.step("bytes of one connection", () => bytesWait(bus));
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_pending_operations 0$/m, "nothing is left");
});

// Messages of schedules arrive as any others do: they are counted, and wait when a rate is exhausted.

const ONE_A_SECOND = `
[limits]
tenant_messages_per_second = 1
`;

Deno.test("schedules count as ingress, and take from the rates of their tenant", async () => {
  await using bus = await startLocalBus(ONE_A_SECOND);
  using client = await openText(bus.url, bus.token);
  await ask(client, { op: "sub", room: "hall" });
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const setAll = async (at_ms: number) => {
    for (const id of ["one", "two", "three", "four"]) {
      const body = { room: "hall", message: { type: "tick", data: {} }, at_ms };
      const path = `/v1/tenants/default/schedules/${id}`;
      const { status, body: answer } = await admin.ask("PUT", path, body);
      if (status === 400 && answer.detail?.includes("at_ms: expected a future time")) return false;
      assert.equal(status, 200, JSON.stringify(answer));
    }
    return true;
  };
  const nobody = { room: "hall", message: { type: "tick" }, at_ms: 1, user: "a\n" };
  const path = "/v1/tenants/default/schedules/five";
  assert.match((await admin.ask("PUT", path, nobody)).body.detail, /user: expected/);
  // The due time is still in the future when the last of them is set, however long that takes.
  for (let wait_ms = 200; !await setAll(Date.now() + wait_ms);) wait_ms *= 2;
  for (let count = 0; count < 4;) if ((await client.json()).op === "msg") count++;
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  const value = (name: string) =>
    Number(new RegExp(`^${RegExp.escape(name)} (\\d+)`, "m").exec(text)?.[1]);
  assert.ok(value('shield_ingress_ops{op="schedule"}') >= 4);
  // The rate of two seconds is available at once; the others had to wait and were retried.
  assert.ok(value('shield_rate_refusals_total{scope="tenant"}') > 0);
});

// Many unauthenticated connections to a bus with authenticated requests in flight: limits for the former never end the
// latter.

const IDLE = 60;

const BOUNDS = {
  "one address": "strangers = 1000\n#constant limits.strangers_per_address = 20",
  "all together": "strangers = 20\n#constant limits.strangers_per_address = 1000",
};

const config = (websocket: string, limits: string) => `
[server]
websocket = "${websocket}"
drain_ms = 0
[limits]
${limits}
${durableRooms("durable-*")}
`;

/** Idle connections, opened until the bus has closed many of them. */
async function idleStrangers(bus: { http_url: string; ops_url: string }) {
  const { hostname, port } = new URL(bus.http_url);
  const idle = await Promise.all(
    Array.from({ length: IDLE }, () => Deno.connect({ hostname, port: Number(port) })),
  );
  await until("strangers are ended", async () => {
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    const ended = [...metrics.matchAll(/^shield_strangers_ended_total\{[^}]*\} (\d+)$/gm)];
    return ended.reduce((sum, [, count]) => sum + Number(count), 0) >= IDLE - 20;
  });
  return { [Symbol.dispose]: () => idle.forEach((one) => one.close()) };
}

for (const websocket of ["native", "own"]) {
  for (const [bound, limits] of Object.entries(BOUNDS)) {
    Deno.test(`a request under way with a good token is no stranger (${websocket}, ${bound})`, async () => {
      await using bus = await startLocalBus(config(websocket, limits));
      const headers = { authorization: `Bearer ${bus.token}`, "content-type": "text/plain" };
      const client = await connect({ url: bus.url, token: bus.token });
      const stream = `${bus.http_url}/v1/streams/durable-read`;
      const made = await fetch(stream, { method: "PUT", headers });
      assert.ok(made.ok, `${made.status}`);
      await made.body?.cancel();
      const next = made.headers.get("stream-next-offset") ?? "-1";
      const reading = fetch(`${stream}?offset=${next}&live=long-poll`, { headers });
      let controller!: ReadableStreamDefaultController<Uint8Array>;
      const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
      const write = (text: string) => controller.enqueue(new TextEncoder().encode(text));
      const growing = fetch(`${bus.http_url}/v1/rooms/durable-grown/streams?id=one`, {
        method: "POST",
        headers,
        body,
      });
      write("a");
      const room = client.room("durable-grown");
      await until("it grows", async () => {
        const list = await room.command("growing.list");
        return list.json<{ messages: { id: string }[] }>().messages.some(({ id }) => id === "one");
      });
      using _idle = await idleStrangers(bus);
      write("b");
      controller.close();
      const grown = await growing;
      assert.equal(grown.status, 200);
      await grown.body?.cancel();
      const response = await fetch(stream, { method: "POST", headers, body: "news" });
      assert.ok(response.ok, `${response.status}`);
      await response.body?.cancel();
      assert.equal(await (await reading).text(), "news");
      await client.close();
    });
  }
}
