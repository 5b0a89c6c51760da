/**
 * Features of the bus for Centrifugo's clients, also in server-side subscriptions: schemas, growing messages, `why`,
 * usage, erasure, and rooms that are programs.
 */
import assert from "node:assert/strict";
import { Centrifuge } from "centrifuge";
import pusher_js from "pusher-js";
import { connect } from "@arqon/sdk";
import { stream } from "@arqon/sdk/streams";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { Receiver, SECRET } from "./hooks/receiver.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { endpointOf, HURRY, opened } from "./peers/centrifugo_client.ts";
import { openRaw } from "./peers/centrifugo_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { requirePing } from "./peers/schema_admin.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { reducedRooms } from "../shared/testing/reducers.ts";

const CONFIG = `
[centrifugo]
enabled = true
server_side = ["log:*"]
[usage]
enabled = true
#constant usage.flush_ms = 50
[admin]
operator_tenants = ["default"]
${durableRooms("log:*")}
${reducedRooms("count:*", "counter", 'reducer_visible = ["total"]')}
[limits]
#constant limits.command_timeout_ms = 60_000
[pusher]
[[pusher.apps]]
id = "1001"
key = "key-1"
secret_file = "${secretFile("a secret of the app")}"
tenant = "default"
`;
const CHANNEL = "log:1";

Deno.test("a server-side subscription has schemas, growing messages, why, usage and erasure", async () => {
  await using bus = await startLocalBus(CONFIG);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const getToken = () => bus.tokenFor({ user: "ann", claims: { channels: [CHANNEL] } });
  const client = new Centrifuge(endpointOf(bus.url), { getToken, ...HURRY });
  const received: unknown[] = [];
  const recovered: boolean[] = [];
  client.on("publication", ({ data }) => void received.push(data));
  client.on("subscribed", (context) => void recovered.push(context.recovered));
  client.connect();
  await client.ready(20_000);
  await using other = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  const room = other.room(CHANNEL);
  await room.publish("publication", { n: 1 }, { message_id: "one" });
  await stream(room, ["it ", "grows"]);
  await until("both", () => received.length === 2);
  const [, grown] = received as { base64?: string }[];
  assert.deepEqual(received[0], { n: 1 });
  assert.match(JSON.stringify(grown), /it grows|aXQgZ3Jvd3M/);

  await requirePing(bus, "default", CHANNEL);
  await assert.rejects(room.publish("publication", { text: "no n" }), {
    reason: "schema-violation",
  });
  await room.publish("publication", { n: 2 }, { message_id: "two" });
  await until("the good one alone", () => received.length === 3);
  assert.deepEqual(received[2], { n: 2 });

  const { connections } = await admin.read("/v1/why?message_id=two&user=ann");
  assert.equal(connections[0].outcomes[0].state, "sent", JSON.stringify(connections));
  let row: { deliveries?: number } | undefined;
  await until(() => `usage of the room: ${JSON.stringify(row)}`, async () => {
    const { rows } = await admin.read("/v1/usage?by=room&tenant=default");
    [row] = rows.filter((one: { room: string }) => one.room === "log:*");
    return row?.deliveries === received.length;
  }, 15_000);

  client.disconnect();
  await room.publish("publication", { n: 9 });
  const erased = await admin.ask("POST", "/v1/data/erase", { tenant: "default", room: CHANNEL });
  assert.equal(erased.status, 200, erased.text);
  client.connect();
  await client.ready(20_000);
  await until("reconnected", () => recovered.length === 2);
  assert.equal(recovered[1], false, "what was erased is not said to have been given");
  await room.publish("publication", { n: 3 });
  await until("the later messages", () => received.length === 4);
  assert.deepEqual(received[3], { n: 3 });
  client.disconnect();
});

Deno.test("a client whose room becomes durable misses nothing, and has a position when it subscribes again", async () => {
  await using bus = await startLocalBus(CONFIG);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = await openRaw(bus);
  const channel = "later:1";
  client.send({ id: 1, connect: { token: bus.token } }, { id: 2, subscribe: { channel } });
  assert.deepEqual((await client.reply(2)).subscribe, {});
  await using other = await connect({ url: bus.url, token: bus.token });
  const room = other.room(channel);
  const received = () => client.received.flatMap(({ push }) => push?.pub ?? []);
  for (let n = 0; n < 9; n++) {
    if (n === 3) {
      await admin.ask("PUT", "/v1/tenants/default/rooms", { room: "later:*", durable: true });
    }
    await room.publish("publication", n);
  }
  await until("all", () => received().length === 9);
  assert.deepEqual(received().map(({ data }) => data), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  const last = received()[8].offset;
  assert.ok(last > 0);
  client.send({ id: 3, unsubscribe: { channel } }, { id: 4, subscribe: { channel } });
  const { subscribe } = await client.reply(4);
  assert.deepEqual([subscribe.positioned, subscribe.recoverable, subscribe.offset], [
    true,
    true,
    last,
  ]);
  client.close();
});

// A CommonJS module: its types have a `default`, but the module is the class itself.
const Pusher = pusher_js as unknown as typeof pusher_js.default;

interface Imitation {
  readonly type?: string;
  readonly data?: unknown;
  readonly signal?: { readonly kind: string; readonly target: string };
}

/** Events of a backend that imitate the bus's own, in a room with Centrifugo's and Pusher's clients. */
const NOT_OF_THE_BUS: readonly Imitation[] = [
  { type: "PRESENCE_UPDATE", data: { members: [null] } },
  { type: "PRESENCE_LEAVE", data: 5 },
  { type: "PRESENCE_UPDATE", data: { members: [{ user_id: "ghost", connection_id: "g" }] } },
  ...["BAN", "DISCONNECT", "GAP", "DRAIN"].map((kind) => ({ signal: { kind, target: "x" } })),
];

Deno.test("Centrifugo's and Pusher's clients ignore imitations of the bus's events, others get them", async () => {
  await using bus = await startLocalBus(CONFIG);
  const room = "pusher:news";
  const events: unknown[] = [];
  const token = await bus.tokenFor({ user: "ann" });
  const client = new Centrifuge(endpointOf(bus.url), { token });
  const sub = client.newSubscription(room, { joinLeave: true });
  for (const event of ["join", "leave", "unsubscribed"] as const) {
    sub.on(event, (context: unknown) => void events.push(context));
  }
  sub.on("publication", ({ data }) => void events.push(data));
  sub.subscribe();
  client.connect();
  await sub.ready(20_000);
  const { hostname: wsHost, port } = new URL(bus.url);
  const options = { wsHost, wsPort: Number(port), forceTLS: false, cluster: "none" };
  const pusher = new Pusher("key-1", { ...options, enabledTransports: ["ws"] });
  const channel = pusher.subscribe("news");
  channel.bind("pusher:subscription_error", (problem: unknown) => void events.push(problem));
  await until("in", () => channel.subscribed);
  channel.bind("publication", (data: unknown) => void events.push(data));
  using last = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  await ask(last, { op: "sub", room });
  using backend = await openText(bus.url, await bus.tokenFor({ role: "service" }));
  // A type that only begins as theirs.
  const full: Imitation = { type: "ROOM_FULL", data: "full" };
  const end: Imitation = { type: "publication", data: "end" };
  for (const message of [...NOT_OF_THE_BUS, full, end]) {
    await ask(backend, { op: "pub", room, ...message });
    const { type, signal } = await last.json();
    assert.deepEqual([type, signal?.kind], [message.type, message.signal?.kind]);
  }
  await until("the last", () => events.length >= 3);
  assert.deepEqual(events.toSorted(), ["end", "end", "full"]);
  client.disconnect();
  pusher.disconnect();
});

Deno.test("rpc and send call a room program, and its events are publications", async () => {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ user: "ann" });
  const at = [{ transport: "sse" as const, endpoint: `${bus.http_url}/connection/sse` }];
  const emulationEndpoint = `${bus.http_url}/emulation`;
  const options = { token, emulationEndpoint, timeout: 60_000 };
  const ways = [endpointOf(bus.url), at];
  for (const [turn, way] of ways.entries()) {
    const client = new Centrifuge(way, options);
    using _client = { [Symbol.dispose]: () => client.disconnect() };
    client.connect();
    await client.ready(20_000);
    const received: unknown[] = [];
    const sub = client.newSubscription(`count:${turn}`);
    sub.on("publication", (context) => void received.push(context.data));
    sub.subscribe();
    await sub.ready(20_000);
    const method = `count:${turn}/room.call`;
    const { data } = await client.rpc(method, { command: "add", data: "5" });
    assert.equal(data.answer, 5, JSON.stringify(data));
    await client.send({ method, data: { command: "add", data: "2" } });
    await until(() => `two events: ${JSON.stringify(received)}`, () => received.length === 2);
    await assert.rejects(client.rpc(method, { command: "add", data: "many" }), { code: 107 });
    await assert.rejects(client.rpc(method, { command: "none", data: "" }), { code: 102 });
    await assert.rejects(sub.publish({ n: 1 }), { code: 103 });
  }
});

Deno.test("a Shield that stops answers pending commands before it disconnects their clients", async () => {
  await using receiver = new Receiver();
  const decided = Promise.withResolvers<Response>();
  receiver.answer = () => decided.promise;
  const hook = { id: "gate", tenant: "default", url: receiver.url, room: "log:*" };
  const lines = Object.entries(hook).map(([name, value]) => `${name} = "${value}"`).join("\n");
  await using bus = await startLocalBus(`${CONFIG}
[server]
drain_ms = 300
drain_timeout_ms = 60_000
[webhooks]
private_hosts = ["127.0.0.1"]
[[hooks]]
${lines}
secret_file = "${secretFile(SECRET)}"
events = []
before = ["publish"]
#constant hooks.before_timeout_ms = 10_000
on_failure = "allow"
`);
  using idle = await openText(bus.url, await bus.tokenFor({ user: "idle" }));
  using client = await opened(bus.url, { token: await bus.tokenFor() });
  const codes: number[] = [];
  client.on("connecting", ({ code }) => void codes.push(code));
  const published = client.publish(CHANNEL, { n: 1 });
  published.catch(() => {});
  await until("it is asked about", () => receiver.calls.length === 1);
  const stopped = bus.stop();
  // Only clients with a pending answer are still connected.
  assert.equal((await idle.closed()).code, 1012);
  decided.resolve(Response.json({ allow: true }));
  await published;
  await until("it leaves", () => codes.at(-1) === 3001);
  await stopped;
});
