/**
 * The endpoint for Centrifugo's clients with a client that sends what no library would, and the bus's actions on
 * clients: kicks, bans, the expiry of a token, the stop of a Shield; frames with many commands, which run in slices
 * and in order.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { type LocalBusOptions, startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { samplesOf } from "./harness/server_state.ts";
import { AdminClient } from "./peers/admin_client.ts";
import {
  CentrifugoPeer as Client,
  openRaw as raw,
  openWith,
  type Reply,
} from "./peers/centrifugo_peer.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import type { Capability } from "../shield/capability.ts";
import { lightCopyWith } from "../shield/socket/light_copy.ts";
import { startWith, TOKENS } from "../shield/testing/lone_shield.ts";

const CONFIG = "[centrifugo]\nenabled = true\n";

/** A client that is admitted. */
const connected = async (bus: TestBus, user = "tester"): Promise<Client> =>
  await openWith(bus, await bus.tokenFor({ user }));

/** A client that is subscribed to `news`. */
async function inNews(bus: TestBus, user: string): Promise<Client> {
  const client = await connected(bus, user);
  client.send({ id: 2, subscribe: { channel: "news" } });
  await client.reply(2);
  return client;
}

const bus = (config = CONFIG, options?: LocalBusOptions) => startLocalBus(config, options);

Deno.test("the endpoint does not exist unless it is enabled", async () => {
  await using off = await bus("");
  const answer = await fetch(`${off.http_url}/connection/websocket`);
  assert.equal((await answer.json()).reason, "not-found");
  await using on = await bus();
  const plain = await fetch(`${on.http_url}/connection/websocket`);
  assert.equal((await plain.json()).reason, "not-a-websocket");
});

Deno.test("an invalid command closes the connection with the code of a bad request", async () => {
  await using on = await bus();
  const token = await on.tokenFor();
  const connect = { id: 1, connect: { token } };
  for (
    const frames of [
      ["{"],
      [{ id: 1, subscribe: { channel: "a" } }],
      [{ connect: { token } }],
      [connect, { id: 2, connect: { token } }],
      [connect, { id: 2, publish: { channel: 7 } }],
    ]
  ) {
    const client = await raw(on);
    client.send(...frames);
    assert.equal((await client.end())[0], 3501, JSON.stringify(frames));
  }
  const bytes = await raw(on, ["centrifuge-json"]);
  assert.equal(bytes.protocol, "centrifuge-json");
  bytes.sendBytes(new Uint8Array([1]));
  assert.equal((await bytes.end())[0], 3501);
  const long = await raw(on);
  long.send(" ".repeat(262_145));
  assert.equal((await long.end())[0], 1009);
});

Deno.test("the Shield answers each command of a frame, also those after connect", async () => {
  await using on = await bus();
  const client = await raw(on);
  const token = await on.tokenFor();
  const another = await on.tokenFor({ ttl_seconds: 7_200 });
  client.send(
    { id: 1, connect: { token } },
    { id: 2, subscribe: { channel: "a", type: 1 } },
    { id: 3, subscribe: { channel: "a" } },
    { id: 4, subscribe: { channel: "a" } },
    { id: 5, ping: {} },
    { id: 6, unsubscribe: { channel: "b" } },
    { id: 7, sub_refresh: { channel: "a" } },
    { id: 8, nothing: {} },
    { id: 9, refresh: { token: another } },
    { id: 10, rpc: { method: "a/no.such", data: {} } },
    {},
    { send: { data: "nothing" } },
    { send: { data: { method: "a/room.set", data: { key: "k", value: 1 } } } },
    { publish: { channel: "a", data: 1 } },
    { id: 11, rpc: { method: "a/room.get", data: { key: "k" } } },
  );
  await client.reply(10);
  assert.equal((await client.reply(11)).rpc.data.value, 1);
  const without = client.received.filter(({ id }) => id === 0);
  assert.deepEqual(without, [], "libraries take a reply without an id as a ping");
  const { connect } = await client.reply(1);
  assert.deepEqual([connect.expires, connect.pong], [true, true]);
  assert.ok(connect.ttl > 3_000 && connect.ttl < 3_600, `${connect.ttl}`);
  assert.ok(connect.ping > 25 && connect.client !== "");
  const codes = [2, 4, 8, 10].map(async (id) => (await client.reply(id)).error?.code);
  assert.deepEqual(await Promise.all(codes), [108, 105, 107, 104]);
  for (const id of [3, 5, 6, 7]) assert.equal((await client.reply(id)).error, undefined);
  const { refresh } = await client.reply(9);
  assert.equal(refresh.client, connect.client);
  assert.ok(refresh.ttl > 7_000);
  client.send({ id: 20, refresh: { token: await on.tokenFor({ user: "eve" }) } });
  assert.equal((await client.reply(20)).error.code, 101);
  assert.equal((await client.end())[0], 3500);
});

Deno.test("the Shield refuses commands that are too long for the bus, and makes no subscription of them", async () => {
  await using on = await bus();
  const client = await connected(on);
  const frame = (id: number, length: number) =>
    JSON.stringify({ id, publish: { channel: "a", data: "x".repeat(length) } });
  client.send(frame(2, 262_144 - frame(2, 0).length));
  const leaf = { key: "k".repeat(100), cmp: "gt", val: "1" };
  const or = { op: "or", nodes: Array.from({ length: 60 }, () => leaf) };
  const tf = { op: "and", nodes: Array.from({ length: 20 }, () => or) };
  client.send({ id: 3, subscribe: { channel: "a", tf } });
  for (const id of [2, 3]) assert.equal((await client.reply(id)).error?.code, 106);
  // A client that unsubscribes before the answer does not receive a success.
  client.send({ id: 4, subscribe: { channel: "a" } }, { id: 5, unsubscribe: { channel: "a" } });
  assert.deepEqual((await client.reply(4)).error?.code, 100);
  client.send({ id: 6, subscribe: { channel: "a" } });
  assert.notEqual((await client.reply(6)).subscribe, undefined);
  const token = await on.tokenFor({ claims: { channel: "b" } });
  client.send({ id: 7, subscribe: { channel: "b", token } }, {
    id: 8,
    unsubscribe: { channel: "b" },
  });
  assert.deepEqual((await client.reply(7)).error?.code, 100);
  client.close();
});

Deno.test("a room class makes a namespace known, and its subscribers receive joins without a request", async () => {
  const more = 'declared_namespaces = true\njoin_leave = ["hall:*"]\n[[rooms]]\nroom = "hall:*"\n';
  await using bus = await startLocalBus(CONFIG + more);
  const client = await connected(bus);
  client.send(
    { id: 2, subscribe: { channel: "other:1" } },
    { id: 3, publish: { channel: "other:1", data: 1 } },
    { id: 4, rpc: { method: "other:1/x" } },
    { id: 5, subscribe: { channel: "hall:1" } },
    { id: 6, subscribe: { channel: "plain" } },
  );
  for (const id of [2, 3, 4]) assert.equal((await client.reply(id)).error.code, 102);
  for (const id of [5, 6]) assert.ok((await client.reply(id)).subscribe);
  const other = await connected(bus);
  other.send({ id: 2, subscribe: { channel: "hall:1" } });
  const { client: id } = (await other.reply(1)).connect;
  const about = ({ push }: Reply, what: string) => push?.[what]?.info.client === id;
  assert.equal((await client.next((reply) => about(reply, "join"))).push.channel, "hall:1");
  other.send({ id: 3, unsubscribe: { channel: "hall:1" } });
  await client.next((reply) => about(reply, "leave"));
});

Deno.test("a kicked client leaves the channel, and a banned client is refused", async () => {
  await using on = await bus();
  const client = await inNews(on, "ann");
  const service = new HttpPeer(on.http_url, await on.tokenFor({ role: "service" }));
  await service.done("POST", "rooms/news/kick", { user_id: "ann" });
  const { push } = await client.next((reply) => reply.push?.unsubscribe !== undefined);
  assert.deepEqual(push, { channel: "news", unsubscribe: { code: 2000, reason: "kicked" } });
  client.send({ id: 3, subscribe: { channel: "news" } });
  assert.equal((await client.reply(3)).error, undefined);
  await service.done("POST", "bans", { user_id: "ann", reason: "spam" });
  assert.equal((await client.end())[0], 3507);
  const again = await raw(on);
  again.send({ id: 1, connect: { token: await on.tokenFor({ user: "ann" }) } });
  assert.equal((await again.end())[0], 3507);
});

Deno.test("a token without the channel's grant ends the subscription, an expired token can be renewed", async () => {
  let now_ms = Date.now();
  await using on = await bus(CONFIG, { now: () => now_ms });
  const client = await inNews(on, "ann");
  const grants = [{ room: "other", actions: ["subscribe"] }];
  client.send({
    id: 3,
    refresh: { token: await on.tokenFor({ user: "ann", claims: { grants } }) },
  });
  const { push } = await client.next((reply) => reply.push?.unsubscribe !== undefined);
  assert.deepEqual([push.channel, push.unsubscribe.code], ["news", 2000]);
  // An expired token in a refresh ends the connection, and the client reconnects. After an error it would give up.
  const other = await connected(on, "bob");
  other.send({
    id: 2,
    refresh: { token: await on.tokenFor({ user: "bob", ttl_seconds: -3_600 }) },
  });
  assert.deepEqual(await other.end(), [3005, "expired"]);
  assert.equal(other.received.some((reply) => reply.error !== undefined), false);
  now_ms += 3_700_000;
  client.send({ id: 4, publish: { channel: "other", data: 1 } });
  assert.deepEqual(await client.end(), [3005, "token-expired"]);
  const late = await raw(on);
  late.send({ id: 1, connect: { token: await on.tokenFor({ user: "ann" }) } });
  assert.equal((await late.reply(1)).error.code, 109);
  // A client may send a new token on the same socket.
  late.send({ id: 2, connect: { token: await on.tokenFor({ ttl_seconds: 7_200 }) } });
  assert.notEqual((await late.reply(2)).connect, undefined);
  late.close();
});

Deno.test("a client over the connection limit or on a Shield that stops receives a code to reconnect", async () => {
  const limits = "[limits]\nconnections_per_user = 1\n[server]\ndrain_ms = 0\n";
  await using on = await bus(`${CONFIG}${limits}`);
  const client = await inNews(on, "ann");
  const second = await raw(on);
  second.send({ id: 1, connect: { token: await on.tokenFor({ user: "ann" }) } });
  assert.equal((await second.end())[0], 3013);
  const silent = await raw(on);
  const stopped = on.stop();
  assert.equal((await client.end())[0], 3001);
  assert.equal((await silent.end())[0], 3001);
  await stopped;
});

Deno.test("a socket without a token is closed after a timeout, or as the oldest of too many", async () => {
  const constants = { centrifugo: { connect_ms: 60_000, waiting_sockets: 2 } };
  await using full = await bus(CONFIG, { constants });
  const silent = [await raw(full), await raw(full)];
  const client = await connected(full);
  const why = "too many connections without a token are open";
  assert.deepEqual(await silent[0]!.end(), [3004, why]);
  silent.push(await raw(full), await raw(full));
  assert.deepEqual(await silent[1]!.end(), [3004, why]);
  client.send({ id: 9, subscribe: { channel: "news" } });
  assert.ok((await client.reply(9)).subscribe, "who has shown a token stays");
  for (const one of silent.slice(2)) one.close();
  await using on = await bus(CONFIG, { constants: { centrifugo: { connect_ms: 1 } } });
  assert.deepEqual(await (await raw(on)).end(), [3502, "stale"]);
});

Deno.test("the refusal of a token with Centrifugo's default signature names the page about the move", async () => {
  await using on = await bus();
  const part = (value: object) =>
    new TextEncoder().encode(JSON.stringify(value))
      .toBase64({ alphabet: "base64url", omitPadding: true });
  const token = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: "42" })}.c2lnbmF0dXJl`;
  const refusal = "Token algorithm: HS256 is not accepted (docs/moving_centrifugo.md#tokens)";
  const page = await Deno.readTextFile(new URL("../docs/moving_centrifugo.md", import.meta.url));
  assert.match(page, /^## Tokens$/m);
  const stranger = await raw(on);
  stranger.send({ id: 1, connect: { token } });
  assert.deepEqual(await stranger.end(), [3500, refusal]);
  const client = await connected(on);
  client.send({ id: 2, subscribe: { channel: "a", token } });
  assert.deepEqual((await client.reply(2)).error, { code: 103, message: refusal });
  client.send({ id: 3, refresh: { token } });
  const message = `Refresh refused: ${refusal}`;
  assert.deepEqual((await client.reply(3)).error, { code: 101, message });
});

Deno.test("a client that unsubscribes leaves the channel, also over its rate limit", async () => {
  await using on = await bus(`${CONFIG}[limits]\nuser_messages_per_second = 2\n`);
  const client = await inNews(on, "ann");
  const publish = { channel: "other", data: 1 };
  for (let id = 10; id < 30; id++) client.send({ id, publish });
  client.send({ id: 30, unsubscribe: { channel: "news" } });
  assert.equal((await client.reply(29)).error.code, 111);
  await client.reply(30);
  const { ops_url } = on;
  await until("out", async () => (await samplesOf(ops_url)).get("shield_subscriptions") === 0);
});

Deno.test("a slow client that resubscribes receives its queued messages, which count once", async () => {
  await using on = await bus(`${CONFIG}[limits]
#constant limits.slow_reader_bytes = 1_048_576
[usage]
enabled = true
#constant usage.flush_ms = 50
[[rooms]]
room = "news"
durable = true
slow_reader = "drop-oldest"
`);
  await using proxy = startTcpProxy(Number(new URL(on.url).port));
  const client = await raw({ url: `ws://127.0.0.1:${proxy.port}` });
  client.send({ id: 1, connect: { token: await on.tokenFor() } });
  client.send({ id: 2, subscribe: { channel: "news" } });
  const { epoch } = (await client.reply(2)).subscribe;
  const backend = new HttpPeer(on.http_url, await on.tokenFor({ role: "service" }));
  let sent = 0;
  const publish = () => {
    const data = { n: sent++, text: "x".repeat(60_000) };
    return backend.done("POST", "rooms/news/messages", { type: "publication", data });
  };
  const received = () => client.received.flatMap(({ push }) => push?.pub ?? []);
  proxy.pause();
  const waiting = async () => (await samplesOf(on.ops_url)).get("shield_unsent_bytes") ?? 0;
  await until("some wait", async () => {
    for (let more = 0; more < 4; more++) await publish();
    return await waiting() > 300_000;
  });
  client.send({ id: 3, unsubscribe: { channel: "news" } });
  await until("out", async () => (await samplesOf(on.ops_url)).get("shield_subscriptions") === 0);
  proxy.resume();
  await client.reply(3);
  const { offset } = received().at(-1);
  assert.ok(received().length < sent, "some waited");
  client.send({ id: 4, subscribe: { channel: "news", recover: true, epoch, offset } });
  await until(() => `${received().length} of ${sent}`, () => received().length >= sent);
  assert.deepEqual(received().map(({ data }) => data.n), Array.from({ length: sent }, (_, n) => n));
  const admin = new AdminClient(on.admin_url, await on.tokenFor({ role: "admin" }));
  let deliveries = 0;
  await until(() => `deliveries of ${sent}: ${deliveries}`, async () => {
    const { rows } = await admin.read("/v1/usage?by=room&tenant=default");
    deliveries = rows.find(({ room }: { room: string }) => room === "news")?.deliveries ?? 0;
    return deliveries >= sent;
  });
  assert.equal(deliveries, sent, "each counts once");
});

const COMMANDS = 1_000;
/** The most commands in a turn: those of two slices, and of one that ends it. */
const A_TURN = 64;

Deno.test("a frame of a thousand commands runs over many turns, in order, before the next frame", async () => {
  let in_turn = 0;
  let most = 0;
  let judged = 0;
  const probe: Capability = {
    name: "probe",
    title: "Counts the messages of a turn.",
    open: () => ({
      observer: {
        begun() {
          judged++;
          if (in_turn === 0) setImmediate(() => in_turn = 0);
          most = Math.max(most, ++in_turn);
        },
      },
    }),
  };
  const { shield, spine } = await startWith([...SHIELD_CAPABILITIES, probe], {
    server: { websocket: "native" },
    centrifugo: { enabled: true },
  });
  const serve: Deno.ServeHandler<Deno.NetAddr> = (request, info) =>
    shield.client(lightCopyWith(request, new Headers(request.headers)), info);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, serve);
  const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/connection/websocket`);
  const ids: number[] = [];
  const closed = new Promise<void>((resolve) => socket.onclose = () => resolve());
  socket.onmessage = ({ data }) => {
    for (const line of String(data).split("\n")) {
      const { id, error } = JSON.parse(line);
      if (id !== undefined) ids.push(error === undefined ? id : -id);
    }
  };
  const send = (...commands: object[]) =>
    socket.send(commands.map((one) => JSON.stringify(one)).join("\n"));
  await new Promise((resolve) => socket.onopen = resolve);
  send({ id: 1, connect: { token: TOKENS[0] } });
  await until("the client is in", () => ids.length === 1);
  const all = Array.from({ length: COMMANDS }, (_, at) => at + 2);
  send(...all.map((id) => ({ id, publish: { channel: "a", data: id } })));
  send({ id: COMMANDS + 2, ping: {} }, { id: COMMANDS + 3, publish: { channel: "a", data: 0 } });
  await until("the last answer", () => ids.length === COMMANDS + 3);
  assert.deepEqual(ids.filter((id) => id !== COMMANDS + 2), [1, ...all, COMMANDS + 3]);
  assert.ok(ids.indexOf(COMMANDS + 2) >= 0);
  assert.equal(judged, COMMANDS + 1);
  assert.ok(most <= A_TURN, `${most} commands in one turn`);
  socket.close();
  await closed;
  await server.shutdown();
  await shield.drain();
  await spine.drain();
});
