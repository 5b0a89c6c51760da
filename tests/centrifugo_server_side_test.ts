/**
 * Server-side subscriptions of Centrifugo's clients: those of their tokens, which the answer to `connect` lists, and
 * those of `/api/subscribe`. With the library for JavaScript in both forms, and with a client that sends what no
 * library would.
 */
import assert from "node:assert/strict";
import { Centrifuge, type Options } from "centrifuge";
import { Centrifuge as Protobuf } from "centrifuge/build/protobuf";
import { connect } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import type { TestBus, TokenOptions } from "./harness/test_bus.ts";
import { HURRY } from "./peers/centrifugo_client.ts";
import {
  apiKey,
  type CentrifugoPeer,
  KEY,
  openRaw,
  order,
  type Reply,
} from "./peers/centrifugo_peer.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { enforce, policyAdmin } from "./peers/policy_admin.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[centrifugo]
enabled = true
presence = ["hall*"]
server_side = ["hall*", "log:*", "user=23*", "=24mine"]

${apiKey()}
${apiKey("other", "another tenant's key")}
${durableRooms("log:*")}
`;

const ALL = [{ room: "*", actions: ["subscribe", "publish", "presence", "command"] }];
const FORMS = {
  JSON: { Client: Centrifuge, json: (data: unknown) => data },
  Protobuf: {
    Client: Protobuf as unknown as typeof Centrifuge,
    // Absent data is empty.
    json: (data: unknown) => JSON.parse(new TextDecoder().decode(data as Uint8Array) || "null"),
  },
};

/** A client, with the events of its channels. */
async function open(
  bus: TestBus,
  { Client, json }: (typeof FORMS)["JSON"],
  token: TokenOptions,
  { at = bus.url, ...options }: Partial<Options> & { at?: string } = {},
) {
  const events: unknown[] = [];
  const ids: string[] = [];
  const getToken = () => bus.tokenFor(token);
  const client = new Client(new URL("/connection/websocket", at).href, {
    getToken,
    ...HURRY,
    ...options,
  });
  client.on("connected", (context) => void ids.push(context.client));
  client.on("subscribed", ({ channel, wasRecovering, recovered, data }) => {
    const gone_on = wasRecovering ? [recovered] : [];
    events.push(["+", channel, ...gone_on, ...[data && json(data)].filter(Boolean)]);
  });
  client.on("unsubscribed", ({ channel }) => void events.push(["-", channel]));
  client.on("publication", ({ channel, data }) => void events.push([channel, json(data)]));
  client.on("join", ({ channel, info }) => void events.push(["join", channel, info.user]));
  client.connect();
  await client.ready(20_000);
  return { client, events, ids, [Symbol.dispose]: () => client.disconnect() };
}

const sorted = (events: unknown[]) => events.map((one) => JSON.stringify(one)).sort();

for (const [name, form] of Object.entries(FORMS)) {
  Deno.test(`a client is subscribed to the channels of its token, in ${name}`, async () => {
    await using bus = await startLocalBus(CONFIG);
    const claims = {
      channels: ["hall:1", "user#ann", "elsewhere", "user#bob", "$mine"],
      subs: { "log:1": { data: { hello: 1 }, info: { name: "Ann" } } },
    };
    using one = await open(bus, form, { user: "ann", claims });
    assert.deepEqual(
      sorted(one.events),
      sorted([["+", "hall:1"], ["+", "user#ann"], ["+", "$mine"], ["+", "log:1", { hello: 1 }]]),
    );
    await using other = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
    one.events.length = 0;
    await other.room("hall:1").publish("post", { n: 1 });
    await other.room("log:1").publish("post", { n: 2 });
    await until("both", () => one.events.length >= 2);
    assert.deepEqual(sorted(one.events), sorted([["hall:1", { n: 1 }], ["log:1", { n: 2 }]]));
    // A client cannot subscribe to a channel of a server-side subscription.
    const again = one.client.newSubscription("hall:1");
    const refused = new Promise((resolve) => again.on("unsubscribed", ({ code }) => resolve(code)));
    again.subscribe();
    assert.equal(await refused, 105);
  });

  Deno.test(`a client recovers the channels of its token after a cut, in ${name}`, async () => {
    await using bus = await startLocalBus(CONFIG);
    await using proxy = startTcpProxy(Number(new URL(bus.url).port));
    const channels = ["log:1", "log:2", "hall:1"];
    const token = { user: "ann", claims: { channels } };
    using one = await open(bus, form, token, { at: `ws://127.0.0.1:${proxy.port}` });
    await using other = await connect({ url: bus.url, token: bus.token });
    const publish = async (room: string, n: number) => {
      await other.room(room).publish("post", { n });
    };
    await publish("log:1", 1);
    await until("the first", () => one.events.length === 4);
    await proxy.cut();
    await until("the cut", () => one.client.state === "connecting");
    one.events.length = 0;
    for (const n of [2, 3, 4]) for (const room of channels) await publish(room, n);
    proxy.restore();
    await until("the missed messages", () => one.events.length >= 9);
    await publish("log:1", 5);
    await until("the later messages", () => one.events.length >= 10);
    const of = (channel: string) =>
      one.events.filter((event) => JSON.stringify(event).includes(channel));
    const missed = [2, 3, 4].map((n) => ["log:1", { n }]);
    assert.deepEqual(of("log:1"), [["+", "log:1", true], ...missed, ["log:1", { n: 5 }]]);
    const of_2 = [2, 3, 4].map((n) => ["log:2", { n }]);
    assert.deepEqual(of("log:2"), [["+", "log:2", true], ...of_2]);
    assert.deepEqual(of("hall:1"), [["+", "hall:1"]]);
  });
}

const api = (bus: TestBus, method: string, params: unknown, key?: string) =>
  order(bus.http_url, method, params, key);

Deno.test("a backend subscribes and unsubscribes a user, in both forms", async () => {
  await using bus = await startLocalBus(CONFIG);
  for (const [name, form] of Object.entries(FORMS)) {
    const user = `ann-${name}`;
    using one = await open(bus, form, { user, claims: { grants: [] } });
    using other = await open(bus, form, { user, claims: { grants: [] } });
    const data = { hello: 2 };
    const channel = `log:${name}`;
    assert.deepEqual(await api(bus, "subscribe", { user, channel, data }), { result: {} });
    for (const { events } of [one, other]) {
      await until("in", () => events.length === 1);
      assert.deepEqual(events, [["+", channel, data]]);
    }
    // A second order has no effect.
    await api(bus, "subscribe", { user, channel });
    await api(bus, "publish", { channel, data: 1 });
    await until("a message", () => one.events.length === 2 && other.events.length === 2);
    assert.deepEqual(one.events[1], [channel, 1]);
    await api(bus, "unsubscribe", { user, channel });
    await until("out", () => one.events.length === 3 && other.events.length === 3);
    assert.deepEqual([one.events[2], other.events[2]], [["-", channel], ["-", channel]]);
    const since = { offset: 0, epoch: "" };
    await api(bus, "subscribe", { user, channel, client: one.ids[0], recover_since: since });
    await until("the history", () => one.events.length === 5);
    assert.deepEqual(one.events.slice(3), [["+", channel], [channel, 1]]);
    await api(bus, "publish", { channel, data: 2 });
    await until("the next", () => one.events.length === 6);
    assert.equal(other.events.length, 3);
  }
});

Deno.test("a backend ends connections with a code of its own", async () => {
  await using bus = await startLocalBus(CONFIG);
  for (const form of Object.values(FORMS)) {
    using one = await open(bus, form, { user: "ann" });
    const codes: unknown[] = [];
    one.client.on("connecting", ({ code, reason }) => void codes.push([code, reason]));
    one.client.on("disconnected", ({ code, reason }) => void codes.push([code, reason]));
    const end = (code: number, reason: string) =>
      api(bus, "disconnect", { user: "ann", disconnect: { code, reason } });
    // The bus itself uses this reason and the second code.
    for (const [code, reason] of [[4000, "disconnected"], [4401, "häßlich"]] as const) {
      assert.deepEqual(await end(code, reason), { result: {} });
      await until("an end", () => codes.length > 0);
      await one.client.ready(20_000);
      assert.deepEqual(codes.splice(0), [[code, reason]]);
    }
    // Centrifugo's code for a connection that closes without a code.
    await end(3000, "");
    await until("a close", () => codes.length > 0);
    await one.client.ready(20_000);
    assert.deepEqual(codes.splice(0), [[1, "transport closed"]]);
    await end(4500, "go away");
    await until("the last end", () => one.client.state === "disconnected");
    assert.deepEqual(codes, [[4500, "go away"]]);
  }
  for (
    const [code, reason] of [[1000, ""], [2999, ""], [5000, ""], [3.5, ""], [3000, "é".repeat(62)]]
  ) {
    const answer = await api(bus, "disconnect", { user: "ann", disconnect: { code, reason } });
    assert.equal(answer.error?.code, 107, `${code}`);
  }
});

/** A client that has sent `connect` with a token, as its first command. */
async function raw(bus: TestBus, token: TokenOptions, more = {}): Promise<CentrifugoPeer> {
  const client = await openRaw(bus);
  client.send({ id: 1, connect: { token: await bus.tokenFor(token), ...more } });
  return client;
}

Deno.test("the answer lists no forbidden channel, and no claim crashes a Shield", async () => {
  const more = "[limits]\nrooms_per_connection = 3\n";
  await using bus = await startLocalBus(CONFIG + more);
  const subsOf = async (claims: Record<string, unknown>, request = {}) => {
    using one = await raw(bus, { user: "ann", claims }, request);
    return Object.keys((await one.reply(1)).connect.subs ?? {}).sort();
  };
  const names = ["hall:1", "user#bob", "$mine", "other", "__proto__"];
  assert.deepEqual(await subsOf({ channels: names }), ["$mine", "hall:1"]);
  // With grants of its own, a token's channel names grant nothing more.
  assert.deepEqual(await subsOf({ grants: [], channels: ["hall:1"] }), []);
  const of_hall = [{ room: "hall:1", actions: ["subscribe"] }];
  assert.deepEqual(await subsOf({ grants: of_hall, channels: names }), ["hall:1"]);
  const many = Array.from({ length: 5 }, (_, n) => `hall:${n}`);
  assert.equal((await subsOf({ channels: many })).length, 3);
  const subs = { "hall:1": null, "hall:2": 7, "hall:3": { b64info: "no base64", data: null } };
  assert.deepEqual(await subsOf({ grants: ALL, subs }), ["hall:1", "hall:2", "hall:3"]);
  const resumed = Object.fromEntries([["hall:1", { recover: true, offset: -1, epoch: "x" }]]);
  assert.deepEqual(await subsOf({ channels: ["hall:1"] }, { subs: resumed }), []);
  const gone = {
    "log:1": { recover: true, offset: 5, epoch: "gone" },
    "hall:9": { recover: true },
  };
  using lost = await raw(bus, { user: "ann", claims: { channels: ["log:1"] } }, { subs: gone });
  const { subs: { "log:1": log } } = (await lost.reply(1)).connect;
  assert.deepEqual([log.was_recovering, log.recovered, log.recoverable], [true, false, true]);
  const ten_thousand = Array.from({ length: 10_000 }, (_, n) => `hall:${n}`);
  for (
    const [claims, asked] of [
      [{ channels: ten_thousand.slice(0, 65) }, {}],
      [{ grants: ALL, channels: ten_thousand.slice(0, 65) }, {}],
      [{ grants: ALL, channels: ["x".repeat(256)] }, {}],
      [{ grants: ALL, channels: [7] }, {}],
      [{ grants: ALL, channels: "hall:1" }, {}],
      [{ grants: ALL, subs: "hall:1" }, {}],
      [{}, { subs: Object.fromEntries(ten_thousand.map((name) => [name, {}])) }],
      [{}, { subs: [] }],
      [{}, { subs: { a: 7 } }],
    ] as const
  ) {
    using one = await raw(bus, { user: "ann", claims }, asked);
    assert.ok(
      [3500, 3501, 1009].includes((await one.end())[0]),
      JSON.stringify(claims).slice(0, 80),
    );
  }
  assert.deepEqual(await subsOf({ channels: ["hall:1"] }), ["hall:1"]);
});

Deno.test("invalid or forbidden orders of a backend have no effect", async () => {
  await using bus = await startLocalBus(CONFIG);
  using one = await raw(bus, { user: "ann", claims: { grants: [] } });
  await one.reply(1);
  const ann = { user: "ann", channel: "hall:1" };
  const codes: Readonly<Record<number, unknown[]>> = {
    103: [{ ...ann, channel: "other" }, { ...ann, channel: "hallo#bob".slice(3) }],
    107: [
      ...[{ ...ann, channel: "" }, { ...ann, channel: "é".repeat(60) }, { channel: "hall:1" }],
      ...[{ ...ann, expire_at: 1 }, { ...ann, expire_at: -1 }, { ...ann, b64data: "?" }],
    ],
    108: [{ ...ann, override: {} }, { ...ann, session: "s" }],
  };
  for (const [code, all] of Object.entries(codes)) {
    for (const params of all) {
      const { error } = await api(bus, "subscribe", params);
      assert.equal(error?.code, Number(code), JSON.stringify(params));
    }
  }
  const now_seconds = Math.floor(Date.now() / 1_000);
  for (const [seconds_ago, code] of [[10, undefined], [60, 107]] as const) {
    const expire_at = now_seconds - seconds_ago;
    const { error } = await api(bus, "subscribe", { ...ann, user: "bob", expire_at });
    assert.equal(error?.code, code, `an expire_at ${seconds_ago} s ago`);
  }
  const other = "another tenant's key";
  for (
    const [method, params, key] of [
      ["subscribe", ann, other],
      ["disconnect", { user: "ann" }, other],
      ["subscribe", { ...ann, user: "bob" }, KEY],
      ["subscribe", { ...ann, client: "nobody" }, KEY],
      ["subscribe", { ...ann, channel: "user#bob" }, KEY],
      ["disconnect", { user: "ann", client: "nobody", disconnect: { code: 4500 } }, KEY],
    ] as const
  ) {
    assert.deepEqual(await api(bus, method, params, key), { result: {} });
  }
  await api(bus, "subscribe", { ...ann, channel: "hall:2" });
  await until("the only one", () => one.received.length >= 2);
  assert.deepEqual(one.received.slice(1).map(({ push }) => push.channel), ["hall:2"]);
  // After the unsubscribe only the token's grants apply, and it has none.
  await api(bus, "unsubscribe", { user: "ann", channel: "hall:2" });
  await until("its end", () => one.received.some(({ push }) => push?.unsubscribe !== undefined));
  one.send({ id: 2, subscribe: { channel: "hall:2" } });
  assert.equal((await one.reply(2)).error.code, 103);
});

/** The channels of the answer to `connect`, and those of later pushes. */
function madeOf(replies: Reply[], { subs = {} }: Reply): string[] {
  const later = replies.flatMap(({ push }) => push?.subscribe ? push.channel : []);
  return [...Object.keys(subs), ...later].sort();
}

Deno.test("subscriptions over a client's rate limit come later and are not lost", async () => {
  await using bus = await startLocalBus(`${CONFIG}[limits]\nmessages_per_second = 20\n`);
  const channels = Array.from({ length: 40 }, (_, n) => `hall:${n}`);
  using one = await raw(bus, { user: "ann", claims: { grants: ALL, channels } });
  const { connect } = await one.reply(1);
  const all = () => madeOf(one.received, connect);
  await until(() => `all of the token's: ${all()}`, () => all().length >= channels.length);
  assert.deepEqual(all(), channels.toSorted());
  const more = channels.map((name) => name.replace("hall:", "log:"));
  await Promise.all(more.map((channel) => api(bus, "subscribe", { user: "ann", channel })));
  await until(() => `all of the backend's: ${all()}`, () => all().length >= 2 * channels.length);
  assert.deepEqual(all(), [...channels, ...more].sort());
});

Deno.test("a policy refuses a subscription, and one that fails refuses it until it recovers", async () => {
  const server_side = 'server_side = ["no:*", "fault:*", ';
  const config = CONFIG.replace("server_side = [", server_side) + PATIENT_POLICIES;
  await using bus = await startLocalBus(config);
  const admin = await policyAdmin(bus);
  for (const [name, code] of [["no", "(i32.const 1)"], ["fault", "(unreachable)"]] as const) {
    const more = `(func (export "arqon_on_subscribe") (result i32) ${code})`;
    await enforce(bus, guest({ hook: "(i32.const 0)", more }), { name, room: `${name}:*` });
  }
  const channels = ["no:1", "fault:1", "log:1", "fault:3"];
  using one = await raw(bus, { user: "ann", claims: { channels } });
  const { connect } = await one.reply(1);
  for (const channel of ["no:2", "fault:2", "log:2", "fault:4"]) {
    await api(bus, "subscribe", { user: "ann", channel });
  }
  const made = () => madeOf(one.received, connect);
  await until("those that may be", () => made().length >= 2);
  assert.deepEqual(made(), ["log:1", "log:2"]);
  // An order of the backend ends pending subscriptions, too.
  for (const channel of ["fault:3", "fault:4"]) {
    assert.deepEqual(await api(bus, "unsubscribe", { user: "ann", channel }), { result: {} });
    await until(
      "out",
      () =>
        one.received.some(({ push }) =>
          push?.channel === channel && push.unsubscribe?.code === 2000
        ),
    );
  }
  assert.equal((await admin.remove("default", "fault")).status, 200);
  await until("those that may be now", () => made().length >= 4);
  assert.deepEqual(made(), ["fault:1", "fault:2", "log:1", "log:2"]);
});

Deno.test("kicks and other actions of the bus apply to server-side subscriptions, too", async () => {
  const now_ms = Date.now();
  await using bus = await startLocalBus(
    CONFIG.replace("presence", 'join_leave = ["hall*"]\npresence'),
    {
      now: () => now_ms,
    },
  );
  const channels = ["hall:1", "log:1"];
  using one = await raw(bus, { user: "ann", claims: { channels, grants: ALL } });
  await one.reply(1);
  const pushes = (kind: string) =>
    one.received.filter(({ push }) => push?.[kind] !== undefined).map(({ push }) => push);
  await until("the own join", () => pushes("join").length === 1);
  assert.equal(pushes("join")[0].join.info.user, "ann");
  // They exist beside the client's own subscriptions, and behave alike.
  one.send({ id: 2, subscribe: { channel: "hall:1" } });
  one.send({ id: 3, subscribe: { channel: "hall:2" } });
  assert.equal((await one.reply(2)).error.code, 105);
  await one.reply(3);
  await api(bus, "subscribe", { user: "ann", channel: "hall:2" });
  await api(bus, "subscribe", {
    user: "ann",
    channel: "hall:3",
    expire_at: Math.floor(now_ms / 1_000) + 60,
  });
  await until("the third", () => pushes("subscribe").length === 1);
  assert.equal(pushes("subscribe")[0].channel, "hall:3");
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  await service.done("POST", "rooms/hall:1/kick", { user_id: "ann" });
  await until("out of one", () => pushes("unsubscribe").length === 1);
  const unsubscribe = { code: 2000, reason: "kicked" };
  assert.deepEqual(pushes("unsubscribe")[0], { channel: "hall:1", unsubscribe });
  const grants = [{ room: "hall:*", actions: ["subscribe"] }];
  one.send({ id: 4, refresh: { token: await bus.tokenFor({ user: "ann", claims: { grants } }) } });
  await until("out of rooms that are no longer granted", () => pushes("unsubscribe").length === 2);
  assert.equal(pushes("unsubscribe")[1].channel, "log:1");
  one.send({ id: 5, unsubscribe: { channel: "hall:3" } });
  await one.reply(5);
  const stopped = bus.stop();
  assert.equal((await one.end())[0], 3001);
  await stopped;
});

Deno.test("the answer to connect stops waiting when the Shield's buffer is full", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using other = await connect({ url: bus.url, token: bus.token });
  const channels = Array.from({ length: 8 }, (_, n) => `log:${n}`);
  const text = "x".repeat(20_000);
  for (const room of channels) {
    await Promise.all(
      Array.from({ length: 10 }, (_, n) => other.room(room).publish("p", { n, text })),
    );
  }
  const from = Object.fromEntries(channels.map((name) => [name, { recover: true }]));
  using one = await raw(bus, { user: "ann", claims: { channels } }, { subs: from });
  const { connect: { subs } } = await one.reply(1);
  assert.equal(one.received[0].id, 1);
  assert.deepEqual(Object.keys(subs).sort(), channels);
  const published = () => one.received.flatMap(({ push }) => push?.pub === undefined ? [] : push);
  await until(() => `all: ${published().length}`, () => published().length >= 80);
  for (const room of channels) {
    const of = published().filter(({ channel }) => channel === room).map(({ pub }) => pub.data.n);
    assert.deepEqual(of.sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  }
});
