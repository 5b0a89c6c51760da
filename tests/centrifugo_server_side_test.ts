/**
 * Channels to which the server subscribes Centrifugo's clients: those of their tokens, told in the answer to `connect`,
 * and those of `/api/subscribe`. With their own library for JavaScript in both forms, and with a client that says what
 * no library would.
 */
import assert from "node:assert/strict";
import { Centrifuge } from "centrifuge";
import type { Options } from "centrifuge";
import { Centrifuge as Protobuf } from "centrifuge/build/protobuf";
import { connect } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import type { TestBus, TokenOptions } from "./harness/test_bus.ts";
import { HURRY } from "./peers/centrifugo_client.ts";

const KEY = "a key of a backend";
const CONFIG = `
[centrifugo]
enabled = true
presence = ["hall*"]
server_side = ["hall*", "log:*", "user=23*", "=24mine"]

[[centrifugo.api_keys]]
tenant = "default"
key = "${KEY}"

[[centrifugo.api_keys]]
tenant = "other"
key = "another tenant's key"

[[rooms]]
room = "log:*"
durable = true
`;

const ALL = [{ room: "*", actions: ["subscribe", "publish", "presence", "command"] }];
const FORMS = {
  JSON: { Client: Centrifuge, json: (data: unknown) => data },
  Protobuf: {
    Client: Protobuf as unknown as typeof Centrifuge,
    // No data is no bytes.
    json: (data: unknown) => JSON.parse(new TextDecoder().decode(data as Uint8Array) || "null"),
  },
};

/** A client, with what it is told of its channels. */
async function open(
  bus: TestBus,
  { Client, json }: (typeof FORMS)["JSON"],
  token: TokenOptions,
  { at = bus.url, ...options }: Partial<Options> & { at?: string } = {},
) {
  const told: unknown[] = [];
  const ids: string[] = [];
  const getToken = () => bus.tokenFor(token);
  const client = new Client(new URL("/connection/websocket", at).href, {
    ...{ getToken, ...HURRY, ...options },
  });
  client.on("connected", (context) => void ids.push(context.client));
  client.on("subscribed", ({ channel, wasRecovering, recovered, data }) => {
    const gone_on = wasRecovering ? [recovered] : [];
    told.push(["+", channel, ...gone_on, ...[data && json(data)].filter(Boolean)]);
  });
  client.on("unsubscribed", ({ channel }) => void told.push(["-", channel]));
  client.on("publication", ({ channel, data }) => void told.push([channel, json(data)]));
  client.on("join", ({ channel, info }) => void told.push(["join", channel, info.user]));
  client.connect();
  await client.ready(20_000);
  return { client, told, ids, [Symbol.dispose]: () => client.disconnect() };
}

const sorted = (told: unknown[]) => told.map((one) => JSON.stringify(one)).sort();

for (const [name, form] of Object.entries(FORMS)) {
  Deno.test(`a client is in the channels of its token, in ${name}`, async () => {
    await using bus = await startLocalBus(CONFIG);
    const claims = {
      channels: ["hall:1", "user#ann", "elsewhere", "user#bob", "$mine"],
      subs: { "log:1": { data: { hello: 1 }, info: { name: "Ann" } } },
    };
    using one = await open(bus, form, { user: "ann", claims });
    assert.deepEqual(
      sorted(one.told),
      sorted([["+", "hall:1"], ["+", "user#ann"], ["+", "$mine"], ["+", "log:1", { hello: 1 }]]),
    );
    await using other = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
    one.told.length = 0;
    await other.room("hall:1").publish("post", { n: 1 });
    await other.room("log:1").publish("post", { n: 2 });
    await until("both", () => one.told.length >= 2);
    assert.deepEqual(sorted(one.told), sorted([["hall:1", { n: 1 }], ["log:1", { n: 2 }]]));
    // What a client is in already, it does not subscribe to.
    const again = one.client.newSubscription("hall:1");
    const refused = new Promise((resolve) => again.on("unsubscribed", ({ code }) => resolve(code)));
    again.subscribe();
    assert.equal(await refused, 105);
  });

  Deno.test(`a client misses nothing of the channels of its token over a cut, in ${name}`, async () => {
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
    await until("the first", () => one.told.length === 4);
    await proxy.cut();
    await until("the cut", () => one.client.state === "connecting");
    one.told.length = 0;
    for (const n of [2, 3, 4]) for (const room of channels) await publish(room, n);
    proxy.restore();
    await until("what was missed", () => one.told.length >= 9);
    await publish("log:1", 5);
    await until("what came then", () => one.told.length >= 10);
    const of = (channel: string) =>
      one.told.filter((told) => JSON.stringify(told).includes(channel));
    const missed = [2, 3, 4].map((n) => ["log:1", { n }]);
    assert.deepEqual(of("log:1"), [["+", "log:1", true], ...missed, ["log:1", { n: 5 }]]);
    const of_2 = [2, 3, 4].map((n) => ["log:2", { n }]);
    assert.deepEqual(of("log:2"), [["+", "log:2", true], ...of_2]);
    assert.deepEqual(of("hall:1"), [["+", "hall:1"]]);
  });
}

// deno-lint-ignore no-explicit-any -- what comes is what is tested
type Answer = any;

async function api(bus: TestBus, method: string, params: unknown, key = KEY): Promise<Answer> {
  const response = await fetch(new URL(`/api/${method}`, bus.http_url), {
    ...{ method: "POST", headers: { "x-api-key": key }, body: JSON.stringify(params) },
  });
  return await response.json();
}

Deno.test("a backend subscribes and unsubscribes a user, on any Shield and in both forms", async () => {
  await using bus = await startLocalBus(CONFIG);
  for (const [name, form] of Object.entries(FORMS)) {
    const user = `ann-${name}`;
    using one = await open(bus, form, { user, claims: { grants: [] } });
    using other = await open(bus, form, { user, claims: { grants: [] } });
    const data = { hello: 2 };
    const channel = `log:${name}`;
    assert.deepEqual(await api(bus, "subscribe", { user, channel, data }), { result: {} });
    for (const { told } of [one, other]) {
      await until("in", () => told.length === 1);
      assert.deepEqual(told, [["+", channel, data]]);
    }
    // Again is nothing.
    await api(bus, "subscribe", { user, channel });
    await api(bus, "publish", { channel, data: 1 });
    await until("a message", () => one.told.length === 2 && other.told.length === 2);
    assert.deepEqual(one.told[1], [channel, 1]);
    await api(bus, "unsubscribe", { user, channel });
    await until("out", () => one.told.length === 3 && other.told.length === 3);
    assert.deepEqual([one.told[2], other.told[2]], [["-", channel], ["-", channel]]);
    const since = { offset: 0, epoch: "" };
    await api(bus, "subscribe", { user, channel, client: one.ids[0], recover_since: since });
    await until("what was kept", () => one.told.length === 5);
    assert.deepEqual(one.told.slice(3), [["+", channel], [channel, 1]]);
    await api(bus, "publish", { channel, data: 2 });
    await until("the next", () => one.told.length === 6);
    assert.equal(other.told.length, 3);
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
    // The bus has a meaning of its own for this word, and for the second code.
    for (const [code, reason] of [[3000, "disconnected"], [4401, "häßlich"]] as const) {
      assert.deepEqual(await end(code, reason), { result: {} });
      await until("an end", () => codes.length > 0);
      await one.client.ready(20_000);
      assert.deepEqual(codes.splice(0), [[code, reason]]);
    }
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
