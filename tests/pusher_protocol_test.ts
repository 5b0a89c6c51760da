/**
 * The Pusher endpoint with a client that deviates from every library: odd frames, wrong versions, forged signatures;
 * and what a client receives when it is kicked or its Shield stops.
 */
import assert from "node:assert/strict";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { sampleAt } from "./harness/server_state.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { enforce } from "./peers/policy_admin.ts";
import { backendOf, pusherConfig, PusherPeer, signed } from "./peers/pusher_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { binary, guestText } from "../shield/policy/testing/guests.ts";

const CONFIG = pusherConfig("client_events = true");

/** For tests that change nothing of a bus that others see. */
const running = sharedByTests(() => startLocalBus(CONFIG));

async function versions({ url, http_url }: TestBus): Promise<void> {
  for (const [path, code] of [["?protocol=8", 4007], ["", 4008]] as const) {
    await using client = new PusherPeer(url, `/app/key-1${path}`);
    assert.equal((await client.next("pusher:error")).data.code, code);
    assert.equal((await client.end()).code, code);
  }
  await using odd = new PusherPeer(url, "/app/key-1%zz?protocol=7");
  assert.equal((await odd.next("pusher:error")).data.code, 4001);
  const unknown = await fetch(`${http_url}/apps/%zz/events`, { method: "POST" });
  assert.equal(unknown.status, 404, await unknown.text());
  const plain = await fetch(`${http_url}/app/key-1?protocol=7`);
  assert.equal(plain.status, 400);
  assert.equal(plain.headers.get("upgrade"), "websocket");
  assert.equal(plain.headers.get("sec-websocket-version"), "13");
  assert.equal((await plain.json()).reason, "not-a-websocket");
}

async function forgeries({ url }: TestBus): Promise<void> {
  await using client = new PusherPeer(url);
  const id = await client.socketId();
  for (const odd of ["", "{", '{"event":"pusher:watchlist","data":{}}', '{"event":"chat"}']) {
    client.send(odd);
    assert.equal(typeof (await client.next("pusher:error")).data.message, "string");
  }
  client.subscribe("no room");
  assert.match((await client.next("pusher:error")).data.message, /a channel is/);
  const data = '{"user_id":"ann"}';
  const forged: [string, object][] = [
    ["private-a", {}],
    ["private-a", { auth: signed("1.1:private-a") }],
    ["private-a", { auth: signed(`${id}:private-b`) }],
    ["presence-a", { auth: signed(`${id}:presence-a`), channel_data: data }],
    ["presence-a", { auth: signed(`${id}:presence-a`) }],
    ["presence-a", {
      auth: signed(`${id}:presence-a:${data}`),
      channel_data: '{"user_id":"admin"}',
    }],
  ];
  for (const [channel, more] of forged) {
    client.subscribe(channel, more);
    const message = await client.next("pusher:subscription_error");
    assert.deepEqual([message.channel, message.data.status], [channel, 401], JSON.stringify(more));
  }
  client.send({ event: "client-x", channel: "private-a", data: 1 });
  assert.match((await client.next("pusher:error")).data.message, /not in a private/);
  client.send({ event: "pusher:ping", data: {} });
  await client.next("pusher:pong");
  for (let at = 0; at < 64; at++) client.send("odd");
  assert.equal((await client.end()).code, 1008);
}

/** As text some of them throw, others cost the square of their size. */
async function signInsWithoutText({ url }: TestBus): Promise<void> {
  const deep = `${"[".repeat(15_000)}${"]".repeat(15_000)}`;
  for (const odd of [deep, '{"toString":1,"valueOf":1}', '["{\\"id\\":\\"ann\\"}"]', "null"]) {
    await using client = new PusherPeer(url);
    await client.socketId();
    client.send(`{"event":"pusher:signin","data":{"auth":"x","user_data":${odd}}}`);
    assert.match((await client.next("pusher:error")).data.message, /not the app's signature/);
    assert.equal((await client.end()).code, 4009);
  }
}

async function again({ url }: TestBus): Promise<void> {
  await using client = new PusherPeer(url);
  const auth = signed(`${await client.socketId()}:private-a`);
  await client.join("private-a", { auth });
  client.subscribe("private-a", { auth });
  assert.match((await client.next("pusher:error")).data.message, /already/);
  client.send({ event: "pusher:unsubscribe", data: { channel: "private-a" } });
  client.send({ event: "pusher:unsubscribe", data: { channel: "never-in" } });
  assert.equal((await client.join("private-a", { auth })).channel, "private-a");
  assert.deepEqual(client.received, []);
}

async function sentAway(bus: TestBus): Promise<void> {
  await using client = new PusherPeer(bus.url);
  const id = await client.socketId();
  await client.join("news");
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  await service.done("POST", "rooms/pusher:news/kick", { user_id: `pusher:${id}` });
  assert.equal((await client.next("pusher:subscription_error")).data.status, 403);
  await client.join("news");
  const stopped = bus.stop();
  assert.equal((await client.end()).code, 4200);
  await stopped;
}

const STEPS: readonly (readonly [string, (bus: TestBus) => Promise<void>])[] = [
  ["the wrong version, none, and a plain request", versions],
  ["what is no message, and words that are forged", forgeries],
  ["sign-ins with no text", signInsWithoutText],
  ["a channel is left and joined again; twice in it is told", again],
  ["who is kicked is told, and who is left when the Shield stops comes again", sentAway],
];

Deno.test("a Pusher client that errs gets the reason, and a rejected one the action to take", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  for (const [name, run] of STEPS) await t.step(name, () => run(bus));
});

Deno.test("a client that leaves a channel is removed in the end, also above its rate", async () => {
  await using bus = await startLocalBus(`${CONFIG}[limits]\nuser_messages_per_second = 2\n`);
  await using client = new PusherPeer(bus.url);
  await client.join("private-a", { auth: signed(`${await client.socketId()}:private-a`) });
  const event = { event: "client-typing", channel: "private-a", data: {} };
  for (let sent = 0; sent < 20; sent++) client.send(event);
  client.send({ event: "pusher:unsubscribe", data: { channel: "private-a" } });
  assert.equal((await client.next("pusher:error")).data.code, 4301);
  const left = async () => await sampleAt(bus.ops_url, "shield_subscriptions") === 0;
  await until("out", left);
});

Deno.test("the data of an event reaches every client as the string that it was sent as", async () => {
  const bus = await running();
  await using one = new PusherPeer(bus.url);
  await using other = new PusherPeer(bus.url);
  for (const client of [one, other]) {
    await client.join("private-a", { auth: signed(`${await client.socketId()}:private-a`) });
  }
  const backend = backendOf(bus.url);
  for (const data of ["words", "", "1e400 s", '"a"', '{"a": 1.0}', "1e400", "null", "\u0000"]) {
    await backend.trigger("private-a", "t", data);
    assert.equal((await other.next("t")).data, data, "of a backend");
    // A library for Java or Swift sends a string with the JSON of an object.
    one.send({ event: "client-t", channel: "private-a", data });
    assert.equal((await other.next("client-t")).data, data, "of a client");
  }
  one.send('{"event":"client-t","channel":"private-a","data":{"a": 1.0}}');
  assert.equal((await other.next("client-t")).data, '{"a": 1.0}');
});

Deno.test("a client that a policy refuses gets 4009, whatever code the policy chose", async () => {
  await using bus = await startLocalBus(`${CONFIG}${PATIENT_POLICIES}`);
  const body = "(call $reject (i32.const 503) (i32.const 0) (i32.const 0)) i32.const 0";
  await enforce(bus, binary(guestText({ body, hook: "on_connect" })), { name: "door" });
  assert.equal((await new PusherPeer(bus.url).end()).code, 4009);
});

Deno.test("a revocation of all of a tenant's tokens leaves its Pusher clients, who have none", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using before = new PusherPeer(bus.url);
  await before.join("news");
  const root = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const revoked = { tenant: "default", issued_before_ms: Date.now() + 60_000 };
  const { status, body } = await root.call("POST", "revocations", revoked);
  assert.equal(status, 200, JSON.stringify(body));
  await using after = new PusherPeer(bus.url);
  await after.socketId();
  before.send({ event: "pusher:ping", data: {} });
  await before.next("pusher:pong");
  assert.equal(before.closed, undefined);
});

Deno.test("the messages of a backend's request are in its trace", async () => {
  const bus = await running();
  using reader = await openText(bus.url, bus.token);
  await ask(reader, { op: "sub", room: "pusher:news" });
  // Libraries of typed languages write null for what is absent.
  const body =
    '{"name":"t","channel":"news","data":"1","channels":null,"socket_id":null,"info":null}';
  const method = "POST";
  const path = "/apps/app-1/events";
  const params = {};
  const query = backendOf(bus.url).createSignedQueryString({ method, path, params, body });
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const url = `${bus.http_url}${path}?${query}`;
  const answer = await fetch(url, { method, body, headers: { traceparent } });
  assert.equal(answer.status, 200, await answer.text());
  assert.equal((await reader.json()).trace_id, "a".repeat(32));
});

Deno.test("a malformed handshake is the client's fault, whether there is such an app or not", async () => {
  const bus = await running();
  const { hostname, port } = new URL(bus.http_url);
  for (const key of ["key-1", "another"]) {
    using connection = await Deno.connect({ hostname, port: Number(port) });
    const head = `GET /app/${key}?protocol=7 HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n`;
    await connection.write(new TextEncoder().encode(head));
    const answer = await new Response(connection.readable).text();
    assert.match(answer, /^HTTP\/1.1 400 [^]*"not-a-websocket"/, key);
  }
});

Deno.test("a user whose connections the app has ended signs in again, also where the last message is stored", async () => {
  const room = '[[rooms]]\nroom = "pusher:*"\ndurable = true\ncache_last = true\n';
  await using bus = await startLocalBus(`${CONFIG}${room}`);
  const user_data = '{"id":"ann"}';
  const signIn = async () => {
    const client = new PusherPeer(bus.url);
    const auth = signed(`${await client.socketId()}::user::${user_data}`);
    client.send({ event: "pusher:signin", data: { auth, user_data } });
    await client.next("pusher:signin_success");
    await client.join("#server-to-user-ann");
    return client;
  };
  const backend = backendOf(bus.url);
  const first = await signIn();
  await backend.terminateUserConnections("ann");
  assert.equal((await first.end()).code, 4009);
  const second = await signIn();
  await backend.sendToUser("ann", "t", "here");
  assert.equal((await second.next("t")).data, "here");
  await backend.terminateUserConnections("ann");
  assert.equal((await second.end()).code, 4009);
});

Deno.test("each channel of a backend's event counts towards its rate", async () => {
  await using bus = await startLocalBus(`${CONFIG}[limits]\nuser_messages_per_second = 5\n`);
  using reader = await openText(bus.url, bus.token);
  await ask(reader, { op: "sub", room: "pusher:c-*" });
  const channels = Array.from({ length: 50 }, (_, at) => `c-${at}`);
  await assert.rejects(backendOf(bus.url).trigger(channels, "t", "1"), { status: 429 });
  // Those before the refused one are out.
  for (let at = 0; at < 5; at++) assert.equal((await reader.json()).room, `pusher:c-${at}`);
});

Deno.test("an event whose info cannot be answered is not published, since its backend repeats it", async () => {
  await using bus = await startLocalBus(`${CONFIG}#constant pusher.presence_members = 1\n`);
  for (const user of ["ann", "bob"]) {
    const member = await openText(bus.url, await bus.tokenFor({ user }));
    await ask(member, { op: "sub", room: "pusher:presence-a", presence: true });
  }
  await using client = new PusherPeer(bus.url);
  await client.join("news");
  const backend = backendOf(bus.url);
  const channels = ["news", "presence-a"];
  await assert.rejects(backend.trigger(channels, "t", "once", { info: "user_count" }));
  await assert.rejects(backend.triggerBatch([
    { channel: "news", name: "t", data: "once" },
    { channel: "presence-a", name: "t", data: "once", info: "user_count" },
  ]));
  await backend.trigger("news", "t", "last");
  assert.equal((await client.next("t")).data, "last");
});
