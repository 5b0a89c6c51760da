/**
 * The Pusher endpoint with a client that deviates from every library: odd frames, wrong versions, forged signatures;
 * and what a client receives when it is kicked or its Shield stops.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import Backend from "pusher";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { samplesOf } from "./harness/server_state.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "./harness/serve_bus.ts";
import { send } from "./peers/own_connections.ts";
import { enforce } from "./peers/policy_admin.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";
import { binary, guestText } from "../shield/policy/testing/guests.ts";

const SECRET = "a secret of the app";
const CONFIG = `
[pusher]
[[pusher.apps]]
id = "1"
key = "key-1"
secret_file = "${secretFile(SECRET)}"
tenant = "default"
client_events = true
`;

interface Event {
  readonly event: string;
  readonly channel?: string;
  // deno-lint-ignore no-explicit-any -- What a peer says has any form; the test looks at it.
  readonly data: any;
}

/** A socket, with everything that it has received. */
class Client {
  readonly received: Event[] = [];
  closed: CloseEvent | undefined;
  readonly #socket: WebSocket;

  constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => void this.received.push(JSON.parse(data));
    this.#socket.onclose = (event) => this.closed = event;
  }

  send(message: unknown): void {
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  async next(event: string): Promise<Event> {
    const find = () => this.received.find((one) => one.event === event);
    await until(() => `${event}: ${JSON.stringify(this.received)}`, () => find() !== undefined);
    return this.received.splice(this.received.indexOf(find() as Event), 1)[0] as Event;
  }

  async socketId(): Promise<string> {
    return JSON.parse((await this.next("pusher:connection_established")).data).socket_id;
  }

  async end(): Promise<CloseEvent> {
    await until("an end", () => this.closed !== undefined);
    return this.closed as CloseEvent;
  }

  close(): void {
    this.#socket.close();
  }
}

function backendOf({ http_url }: { http_url: string }): Backend {
  const { hostname: host, port } = new URL(http_url);
  return new Backend({ appId: "1", key: "key-1", secret: SECRET, host, port, useTLS: false });
}

const sign = (text: string) => `key-1:${createHmac("sha256", SECRET).update(text).digest("hex")}`;
const subscribe = (channel: string, more = {}) => ({
  event: "pusher:subscribe",
  data: { channel, ...more },
});

interface World {
  readonly bus: ServedBus;
  readonly folder: string;
  /** The address of HTTP requests. */
  readonly http: string;
  open(path?: string): Client;
}

async function versions({ open, http }: World): Promise<void> {
  for (const [path, code] of [["?protocol=8", 4007], ["", 4008]] as const) {
    const client = open(`/app/key-1${path}`);
    assert.equal((await client.next("pusher:error")).data.code, code);
    assert.equal((await client.end()).code, code);
  }
  const odd = open("/app/key-1%zz?protocol=7");
  assert.equal((await odd.next("pusher:error")).data.code, 4001);
  const unknown = await fetch(`${http}/apps/%zz/events`, { method: "POST" });
  assert.equal(unknown.status, 404, await unknown.text());
  const plain = await fetch(new URL("/app/key-1?protocol=7", http));
  assert.equal(plain.status, 400);
  assert.equal(plain.headers.get("upgrade"), "websocket");
  assert.equal(plain.headers.get("sec-websocket-version"), "13");
  assert.equal((await plain.json()).reason, "not-a-websocket");
}

async function forgeries({ open }: World): Promise<void> {
  const client = open();
  const id = await client.socketId();
  for (const odd of ["", "{", '{"event":"pusher:watchlist","data":{}}', '{"event":"chat"}']) {
    client.send(odd);
    assert.equal(typeof (await client.next("pusher:error")).data.message, "string");
  }
  client.send(subscribe("no room"));
  assert.match((await client.next("pusher:error")).data.message, /a channel is/);
  const data = '{"user_id":"ann"}';
  const forged: [string, object][] = [
    ["private-a", {}],
    ["private-a", { auth: sign("1.1:private-a") }],
    ["private-a", { auth: sign(`${id}:private-b`) }],
    ["presence-a", { auth: sign(`${id}:presence-a`), channel_data: data }],
    ["presence-a", { auth: sign(`${id}:presence-a`) }],
    ["presence-a", {
      auth: sign(`${id}:presence-a:${data}`),
      channel_data: '{"user_id":"admin"}',
    }],
  ];
  for (const [channel, more] of forged) {
    client.send(subscribe(channel, more));
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
async function signInsWithoutText({ open }: World): Promise<void> {
  const deep = `${"[".repeat(15_000)}${"]".repeat(15_000)}`;
  for (const odd of [deep, '{"toString":1,"valueOf":1}', '["{\\"id\\":\\"ann\\"}"]', "null"]) {
    const client = open();
    await client.socketId();
    client.send(`{"event":"pusher:signin","data":{"auth":"x","user_data":${odd}}}`);
    assert.match((await client.next("pusher:error")).data.message, /not the app's signature/);
    assert.equal((await client.end()).code, 4009);
  }
}

async function again({ open }: World): Promise<void> {
  const client = open();
  const id = await client.socketId();
  const auth = sign(`${id}:private-a`);
  client.send(subscribe("private-a", { auth }));
  await client.next("pusher_internal:subscription_succeeded");
  client.send(subscribe("private-a", { auth }));
  assert.match((await client.next("pusher:error")).data.message, /already/);
  client.send({ event: "pusher:unsubscribe", data: { channel: "private-a" } });
  client.send({ event: "pusher:unsubscribe", data: { channel: "never-in" } });
  client.send(subscribe("private-a", { auth }));
  const { channel } = await client.next("pusher_internal:subscription_succeeded");
  assert.equal(channel, "private-a");
  assert.deepEqual(client.received, []);
  client.close();
}

async function sentAway({ open, http, bus, folder }: World): Promise<void> {
  const client = open();
  const id = await client.socketId();
  client.send(subscribe("news"));
  await client.next("pusher_internal:subscription_succeeded");
  const token = await tokenOf(folder, "service");
  const order = { name: "room.kick", data: { user_id: `pusher:${id}` } };
  const kick = await send(`${http}/v1/rooms/pusher:news/commands`, token, "POST", order);
  assert.equal(kick.status, 200, await kick.text());
  assert.equal((await client.next("pusher:subscription_error")).data.status, 403);
  client.send(subscribe("news"));
  await client.next("pusher_internal:subscription_succeeded");
  bus.signal("SIGTERM");
  assert.equal((await client.end()).code, 4200);
}

const STEPS: readonly (readonly [string, (world: World) => Promise<void>])[] = [
  ["the wrong version, none, and a plain request", versions],
  ["what is no message, and words that are forged", forgeries],
  ["sign-ins with no text", signInsWithoutText],
  ["a channel is left and joined again; twice in it is told", again],
  ["who is kicked is told, and who is left when the Shield stops comes again", sentAway],
];

Deno.test("a Pusher client that errs gets the reason, and a rejected one the action to take", async (t) => {
  await using folder = await initFolder(CONFIG);
  await using bus = await startServe(folder.path);
  const { host } = new URL(bus.url);
  const world: World = {
    bus,
    folder: folder.path,
    http: `http://${host}`,
    open: (path = "/app/key-1?protocol=7&client=test") => new Client(`ws://${host}${path}`),
  };
  for (const [name, run] of STEPS) await t.step(name, () => run(world));
});

Deno.test("a client that leaves a channel is removed in the end, also above its rate", async () => {
  await using bus = await startLocalBus(`${CONFIG}[limits]\nuser_messages_per_second = 2\n`);
  const client = new Client(new URL("/app/key-1?protocol=7", bus.url).href);
  const id = await client.socketId();
  client.send(subscribe("private-a", { auth: sign(`${id}:private-a`) }));
  await client.next("pusher_internal:subscription_succeeded");
  const event = { event: "client-typing", channel: "private-a", data: {} };
  for (let sent = 0; sent < 20; sent++) client.send(event);
  client.send({ event: "pusher:unsubscribe", data: { channel: "private-a" } });
  assert.equal((await client.next("pusher:error")).data.code, 4301);
  const { ops_url } = bus;
  await until("out", async () => (await samplesOf(ops_url)).get("shield_subscriptions") === 0);
  client.close();
  await client.end();
});

Deno.test("the data of an event reaches every client as the string that it was sent as", async () => {
  await using bus = await startLocalBus(CONFIG);
  const url = new URL("/app/key-1?protocol=7", bus.url).href;
  const clients = [new Client(url), new Client(url)];
  for (const client of clients) {
    client.send(subscribe("private-a", { auth: sign(`${await client.socketId()}:private-a`) }));
    await client.next("pusher_internal:subscription_succeeded");
  }
  const [one, other] = clients as [Client, Client];
  const backend = backendOf(bus);
  for (const data of ["words", "", "1e400 s", '"a"', '{"a": 1.0}', "1e400", "null", "\u0000"]) {
    await backend.trigger("private-a", "t", data);
    assert.equal((await other.next("t")).data, data, "of a backend");
    // A library for Java or Swift sends a string with the JSON of an object.
    one.send({ event: "client-t", channel: "private-a", data });
    assert.equal((await other.next("client-t")).data, data, "of a client");
  }
  one.send('{"event":"client-t","channel":"private-a","data":{"a": 1.0}}');
  assert.equal((await other.next("client-t")).data, '{"a": 1.0}');
  for (const client of clients) {
    client.close();
    await client.end();
  }
});

Deno.test("a client that a policy refuses gets 4009, whatever code the policy chose", async () => {
  await using bus = await startLocalBus(`${CONFIG}${PATIENT_POLICIES}`);
  const body = "(call $reject (i32.const 503) (i32.const 0) (i32.const 0)) i32.const 0";
  await enforce(bus, binary(guestText({ body, hook: "on_connect" })), { name: "door" });
  const client = new Client(new URL("/app/key-1?protocol=7", bus.url).href);
  assert.equal((await client.end()).code, 4009);
});

Deno.test("a revocation of all of a tenant's tokens leaves its Pusher clients, who have none", async () => {
  await using bus = await startLocalBus(CONFIG);
  const url = new URL("/app/key-1?protocol=7", bus.url).href;
  const before = new Client(url);
  await before.socketId();
  before.send(subscribe("news"));
  await before.next("pusher_internal:subscription_succeeded");
  const root = await bus.tokenFor({ role: "admin", user: "root" });
  const revoked = { tenant: "default", issued_before_ms: Date.now() + 60_000 };
  const answer = await send(`${bus.admin_url}/v1/revocations`, root, "POST", revoked);
  assert.equal(answer.status, 200, await answer.text());
  const after = new Client(url);
  await after.socketId();
  before.send({ event: "pusher:ping", data: {} });
  await before.next("pusher:pong");
  assert.equal(before.closed, undefined);
  for (const client of [before, after]) {
    client.close();
    await client.end();
  }
});

Deno.test("the messages of a backend's request are in its trace", async () => {
  await using bus = await startLocalBus(CONFIG);
  const subprotocols = ["arqon.v1.json"];
  const reader = new RawClient(bus.url, { token: bus.token, subprotocols });
  await reader.json();
  reader.send({ op: "sub", room: "pusher:news", id: 1 });
  while ((await reader.json()).op !== "ack");
  // Libraries of typed languages write null for what is absent.
  const body =
    '{"name":"t","channel":"news","data":"1","channels":null,"socket_id":null,"info":null}';
  const method = "POST";
  const path = "/apps/1/events";
  const params = {};
  const query = backendOf(bus).createSignedQueryString({ method, path, params, body });
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const url = `${bus.http_url}${path}?${query}`;
  const answer = await fetch(url, { method, body, headers: { traceparent } });
  assert.equal(answer.status, 200, await answer.text());
  assert.equal((await reader.json()).trace_id, "a".repeat(32));
});

Deno.test("a malformed handshake is the client's fault, whether there is such an app or not", async () => {
  await using bus = await startLocalBus(CONFIG);
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
    const client = new Client(new URL("/app/key-1?protocol=7", bus.url).href);
    const auth = sign(`${await client.socketId()}::user::${user_data}`);
    client.send({ event: "pusher:signin", data: { auth, user_data } });
    await client.next("pusher:signin_success");
    const own = subscribe("#server-to-user-ann");
    client.send(own);
    await client.next("pusher_internal:subscription_succeeded");
    return client;
  };
  const backend = backendOf(bus);
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
  const reader = await openText(bus.url, bus.token);
  await ask(reader, { op: "sub", room: "pusher:c-*" });
  const channels = Array.from({ length: 50 }, (_, at) => `c-${at}`);
  await assert.rejects(backendOf(bus).trigger(channels, "t", "1"), { status: 429 });
  // Those before the refused one are out.
  for (let at = 0; at < 5; at++) assert.equal((await reader.json()).room, `pusher:c-${at}`);
});

Deno.test("an event whose info cannot be answered is not published, since its backend repeats it", async () => {
  await using bus = await startLocalBus(`${CONFIG}#constant pusher.presence_members = 1\n`);
  for (const user of ["ann", "bob"]) {
    const token = await bus.tokenFor({ user });
    const member = new RawClient(bus.url, { token, subprotocols: ["arqon.v1.json"] });
    await member.json();
    member.send({ op: "sub", room: "pusher:presence-a", id: 1, presence: true });
    while ((await member.json()).op !== "ack");
  }
  const client = new Client(new URL("/app/key-1?protocol=7", bus.url).href);
  await client.socketId();
  client.send(subscribe("news"));
  await client.next("pusher_internal:subscription_succeeded");
  const backend = backendOf(bus);
  const channels = ["news", "presence-a"];
  await assert.rejects(backend.trigger(channels, "t", "once", { info: "user_count" }));
  await assert.rejects(backend.triggerBatch([
    { channel: "news", name: "t", data: "once" },
    { channel: "presence-a", name: "t", data: "once", info: "user_count" },
  ]));
  await backend.trigger("news", "t", "last");
  assert.equal((await client.next("t")).data, "last");
});
