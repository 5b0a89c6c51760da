/**
 * The endpoints for Centrifugo's clients with their own library for JavaScript, unchanged, in JSON and in Protobuf,
 * over WebSocket, as streams over HTTP and as server-sent events. Clients of the bus itself are in the same
 * rooms.
 */
import assert from "node:assert/strict";
import { Centrifuge } from "centrifuge";
import type { FilterNode, Options, Subscription, SubscriptionOptions } from "centrifuge";
import { Centrifuge as Protobuf } from "centrifuge/build/protobuf";
import { connect } from "../sdk/typescript/mod.ts";
import { history } from "../sdk/typescript/history.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import type { TestBus, TokenOptions } from "./harness/test_bus.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[centrifugo]
enabled = true
presence = ["hall*"]

${durableRooms("log:*")}

${durableRooms("diff:*", 'delta = "fossil"')}

[[rooms]]
room = "quiet*"
presence = false
`;

/** One of the two forms of the protocol, on one of the transports. */
interface Form {
  readonly name: string;
  readonly way: "websocket" | "http_stream" | "sse";
  readonly Client: typeof Centrifuge;
  readonly data: (value: unknown) => unknown;
  readonly json: (data: unknown) => unknown;
}

const JSON_FORM = {
  Client: Centrifuge,
  data: (value: unknown) => value,
  json: (data: unknown) => data,
};
const PROTOBUF_FORM = {
  Client: Protobuf as unknown as typeof Centrifuge,
  data: (value: unknown) => new TextEncoder().encode(JSON.stringify(value)),
  json: (data: unknown) => JSON.parse(new TextDecoder().decode(data as Uint8Array)),
};
const FORMS: readonly Form[] = [
  { name: "JSON", way: "websocket", ...JSON_FORM },
  { name: "Protobuf", way: "websocket", ...PROTOBUF_FORM },
  { name: "JSON-stream", way: "http_stream", ...JSON_FORM },
  { name: "Protobuf-stream", way: "http_stream", ...PROTOBUF_FORM },
  { name: "JSON-events", way: "sse", ...JSON_FORM },
];

/** A client of the bus, or of a proxy before it. */
function clientOf({ Client, way }: Form, base: string, options: Partial<Options>): Centrifuge {
  const at = (path: string) => new URL(path, base).href;
  const endpoint = at(`/connection/${way}`);
  if (way === "websocket") return new Client(endpoint.replace("http", "ws"), options);
  const more = { emulationEndpoint: at("/emulation") };
  return new Client([{ transport: way, endpoint }], { ...options, ...more });
}

interface World {
  readonly bus: TestBus;
  readonly form: Form;
  /** A connected client; it disconnects with the test. */
  open(
    options?: TokenOptions & { readonly at?: string; readonly more?: Partial<Options> },
  ): Promise<
    Centrifuge
  >;
}

/** An established subscription, with the data of its publications. */
async function listen(client: Centrifuge, channel: string, { json }: Form, options = {}) {
  const received: unknown[] = [];
  const sub = client.newSubscription(channel, options as SubscriptionOptions);
  sub.on("publication", ({ data }) => void received.push(json(data)));
  sub.subscribe();
  await sub.ready(20_000);
  return { sub, received };
}

async function publishes({ bus, form, open }: World): Promise<void> {
  const ann = await open({ user: "ann" });
  const { sub, received } = await listen(ann, "news: the latest!", form);
  const sent: unknown[] = [];
  sub.on("publication", ({ info, tags }) => void sent.push([info?.user, tags]));
  await sub.publish(form.data({ text: "hällo", n: 1 }));
  await until("the own publication", () => received.length === 1);
  await using other = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  // This JSON has line breaks, which end a reply in Centrifugo's protocol.
  const pretty = new TextEncoder().encode(JSON.stringify({ n: 2 }, undefined, 2));
  const options = { content_type: "application/json" };
  await other.room("news:=20the=20latest=21").publish("post", pretty, options);
  await until("that of the bus's client", () => received.length === 2);
  assert.deepEqual(received, [{ text: "hällo", n: 1 }, { n: 2 }]);
  assert.deepEqual(sent.map((one) => JSON.stringify(one)).map((text) => text.slice(0, 6)), [
    '["ann"',
    '["bob"',
  ]);
  sub.unsubscribe();
  await until("an end", () => sub.state === "unsubscribed");
}

async function seesWhoIsThere({ form, open }: World): Promise<void> {
  const ann = await open({ user: "ann", claims: { info: { name: "Ann" } } });
  const { sub } = await listen(ann, "hall", form, { joinLeave: true });
  const changes: string[] = [];
  sub.on("join", ({ info }) => void changes.push(`+${info.user}`));
  sub.on("leave", ({ info }) => void changes.push(`-${info.user}`));
  const bob = await open({ user: "bob" });
  const { sub: his } = await listen(bob, "hall", form);
  await until("bob", () => changes.includes("+bob"));
  const { clients } = await sub.presence();
  const users = Object.values(clients).map(({ user, connInfo }) => [
    user,
    connInfo === undefined || user === "bob" ? undefined : form.json(connInfo),
  ]);
  assert.deepEqual(users.sort(), [["ann", { name: "Ann" }], ["bob", undefined]]);
  const { numClients, numUsers } = await sub.presenceStats();
  assert.deepEqual([numClients, numUsers], [2, 2]);
  his.unsubscribe();
  await until("bob's leave", () => changes.includes("-bob"));
  const quiet = await listen(ann, "quiet", form, { joinLeave: true });
  assert.equal(quiet.sub.state, "subscribed");
  await assert.rejects(quiet.sub.presence(), { code: 108 });
}

async function readsHistory({ form, open }: World): Promise<void> {
  const client = await open();
  const channel = `log:history-${form.name}-${crypto.randomUUID().slice(0, 8)}`;
  const { sub } = await listen(client, channel, form);
  for (const n of [1, 2, 3]) await sub.publish(form.data({ n }));
  const all = await sub.history({ limit: 100 });
  assert.deepEqual(all.publications.map(({ data }) => form.json(data)), [{ n: 1 }, { n: 2 }, {
    n: 3,
  }]);
  assert.equal(all.offset, all.publications.at(-1)?.offset);
  const last = await sub.history({ limit: 2, reverse: true });
  assert.deepEqual(last.publications.map(({ data }) => form.json(data)), [{ n: 3 }, { n: 2 }]);
  const since = { offset: all.publications[0]?.offset ?? 0, epoch: all.epoch };
  const rest = await sub.history({ limit: -1, since });
  assert.deepEqual(rest.publications.map(({ data }) => form.json(data)), [{ n: 2 }, { n: 3 }]);
  const top = await sub.history({ limit: 0 });
  assert.deepEqual([top.publications.length, top.offset, top.epoch], [0, all.offset, all.epoch]);
  await assert.rejects(sub.history({ limit: 1, since: { ...since, epoch: "gone" } }), {
    code: 112,
  });
  const { sub: plain } = await listen(client, "plain", form);
  await assert.rejects(plain.history({ limit: 1 }), { code: 108 });
}

async function recovers({ bus, form, open }: World): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  const more = { minReconnectDelay: 1, maxReconnectDelay: 50 };
  const client = await open({ at: `http://127.0.0.1:${proxy.port}`, more });
  const channel = `log:cut-${crypto.randomUUID().slice(0, 8)}`;
  const { sub, received } = await listen(client, channel, form);
  const recovered: unknown[] = [];
  sub.on(
    "subscribed",
    (context) => void recovered.push([context.wasRecovering, context.recovered]),
  );
  await using other = await connect({ url: bus.url, token: bus.token });
  const publish = (n: number) => other.room(channel).publish("post", { n });
  await publish(1);
  await until("the first", () => received.length === 1);
  await proxy.cut();
  await until("the cut", () => client.state === "connecting");
  for (const n of [2, 3, 4]) await publish(n);
  proxy.restore();
  await until("the missed messages", () => received.length >= 4);
  await publish(5);
  await until("the later messages", () => received.length >= 5);
  assert.deepEqual(received, [1, 2, 3, 4, 5].map((n) => ({ n })));
  assert.deepEqual(recovered, [[true, true]]);
  const page = await history(other.room(channel), { limit: 10 });
  const begin = { since: { offset: page.messages[2]?.offset ?? 0, epoch: page.epoch } };
  const late = await listen(await open(), channel, form, begin);
  await until("the last two", () => late.received.length === 2);
  const gone = await listen(await open(), channel, form, { since: { offset: 1, epoch: "gone" } });
  assert.deepEqual([late.received, gone.received], [[{ n: 4 }, { n: 5 }], []]);
}

/** The code with which a subscription, or a client, ends. */
function endOf(one: Subscription | Centrifuge): Promise<number> {
  return new Promise((resolve) => {
    if ("channel" in one) one.once("unsubscribed", ({ code }) => resolve(code));
    else one.once("disconnected", ({ code }) => resolve(code));
  });
}

async function isRefused({ bus, form, open }: World): Promise<void> {
  const client = await open({
    user: "ann",
    claims: { grants: [{ room: "mine*", actions: ["subscribe"] }] },
  });
  for (
    const [channel, code] of [
      ["yours", 103],
      ["", 107],
      ["x".repeat(65), 107],
      ["é".repeat(20), 107],
      ["mine#bob,eve", 103],
      ["$private", 103],
    ] as const
  ) {
    // The library itself requires a name.
    const sub = client.newSubscription(channel === "" ? " ".repeat(256) : channel);
    const ended = endOf(sub);
    sub.subscribe();
    assert.equal(await ended, code, channel);
  }
  const { sub } = await listen(client, "mine", form);
  await assert.rejects(sub.publish(form.data(1)), { code: 103 });
  await assert.rejects(client.rpc("nowhere", form.data(1)), { code: 108 });
  const filters = {
    "mine-a": [{ key: "a", cmp: "nothing", val: "b" } as unknown as FilterNode, 107],
    "mine-b": [{ key: "a", cmp: "gt", val: "9".repeat(400) }, 108],
  } as const;
  for (const [channel, [tagsFilter, code]] of Object.entries(filters)) {
    const filtered = client.newSubscription(channel, { tagsFilter });
    const ended = endOf(filtered);
    filtered.subscribe();
    assert.equal(await ended, code);
  }
  const tokens = {
    "no.token.here": 3500,
    [await bus.tokenFor({ claims: { caps: {} } })]: 3500,
    [await bus.tokenFor({ ttl_seconds: -3_600 })]: 1,
  };
  for (const [token, code] of Object.entries(tokens)) {
    const refused = clientOf(form, bus.http_url, { token });
    const end = endOf(refused);
    refused.connect();
    assert.equal(await end, code);
  }
}

async function callsAndRefreshes({ bus, form, open }: World): Promise<void> {
  let requests = 0;
  let ended_ms = 0;
  const getToken = () => {
    if (requests++ > 0) return bus.tokenFor({ ttl_seconds: 3_600 });
    ended_ms = Date.now() + 3_000;
    return bus.tokenFor({ ttl_seconds: 3 });
  };
  const client = await open({ more: { token: "", getToken } });
  // The first token may expire before the second arrives: the bus then refuses a call and keeps the connection. Calls
  // that succeed after that expiry use the second token.
  await until(
    "a call by the new token",
    async () => {
      await client.rpc("lobby/room.get", form.data({ key: "topic" }));
      return requests >= 2 && Date.now() > ended_ms;
    },
    undefined,
    () => true,
  );
  const set = await client.rpc(
    "lobby/room.set",
    form.data({ key: "topic", value: form.name }),
  );
  assert.equal(typeof (form.json(set.data) as { version: number }).version, "number");
  await client.send(form.data({ method: "lobby/room.set", data: { key: "sent", value: 1 } }));
  const get = async (key: string) =>
    form.json((await client.rpc("lobby/room.get", form.data({ key }))).data) as { value: unknown };
  assert.equal((await get("topic")).value, form.name);
  await until("the sent messages", async () => (await get("sent")).value === 1);
}

async function readsDeltas({ bus, form, open }: World): Promise<void> {
  const client = await open();
  const channel = `diff:${form.name}`;
  const { sub, received } = await listen(client, channel, form, { delta: "fossil" });
  const sent = [1, 2, 3].map((n) => ({ n, text: "ä".repeat(300) }));
  for (const one of sent.slice(0, 2)) await sub.publish(form.data(one));
  await using other = await connect({ url: bus.url, token: bus.token });
  // Data with line breaks is one publication, too.
  const last = JSON.stringify(sent[2], undefined, 2);
  const options = { content_type: "application/json" };
  await other.room(channel).publish("post", new TextEncoder().encode(last), options);
  await until("all of them", () => received.length === 3);
  assert.deepEqual(received, sent);
  const { numFullPayloads, numDeltaPayloads, bytesReceived, bytesDecoded } = sub.deltaStats();
  assert.deepEqual([numFullPayloads, numDeltaPayloads], [1, 2]);
  assert.ok(bytesReceived < bytesDecoded / 2, `${bytesReceived} of ${bytesDecoded}`);
  const since = { offset: 0, epoch: "" };
  const late = await listen(await open(), channel, form, { delta: "fossil", since });
  await until("the history", () => late.received.length === 3);
  assert.deepEqual([late.received, late.sub.deltaStats().numDeltaPayloads], [sent, 2]);
  const whole = await listen(client, `log:${form.name}`, form, { delta: "fossil" });
  for (const one of sent) await whole.sub.publish(form.data(one));
  await until("all of a room without deltas", () => whole.received.length === 3);
  assert.deepEqual([whole.received, whole.sub.deltaStats().numPublications], [sent, 0]);
}

async function filtersByTags({ bus, form, open }: World): Promise<void> {
  const channel = `log:tags-${form.name}`;
  const not = { op: "not", nodes: [{ key: "n", cmp: "gt", val: "2" }] };
  const eu = { key: "region", cmp: "in", vals: ["eu", "uk"] };
  const tagsFilter = { op: "and", nodes: [not, eu] } as FilterNode;
  const { sub, received } = await listen(await open(), channel, form, { tagsFilter });
  const tags: unknown[] = [];
  sub.on("publication", (context) => void tags.push(context.tags));
  await using other = await connect({ url: bus.url, token: bus.token });
  const publish = (n: number, region: string, type = "post") =>
    other.room(channel).publish(type, { n }, { headers: { region, n: `${n}` } });
  for (const n of [1, 2, 3]) await publish(n, "eu");
  await publish(1, "us");
  await publish(0, "uk", "publication");
  await until("the messages that pass", () => received.length === 3);
  assert.deepEqual(received, [{ n: 1 }, { n: 2 }, { n: 0 }]);
  assert.deepEqual(tags[1], { region: "eu", n: "2", type: "post" });
  assert.deepEqual(tags[2], { region: "uk", n: "0" });
  const since = { offset: 0, epoch: "" };
  const late = await listen(await open(), channel, form, { tagsFilter, since });
  await until("the part of the history that passes", () => late.received.length === 3);
  assert.deepEqual(late.received, received);
}

const STEPS: Readonly<Record<string, (world: World) => Promise<void>>> = {
  "publishes, and hears clients of both kinds": publishes,
  "sees who is there, comes and goes": seesWhoIsThere,
  "reads a history": readsHistory,
  "misses nothing over a cut": recovers,
  "reads deltas": readsDeltas,
  "filters by tags": filtersByTags,
  "is told what it may not": isRefused,
  "calls commands of rooms, and renews its token": callsAndRefreshes,
};

/** The steps that depend on the transport. In the others the frames are the same. */
const BY_WAY: readonly unknown[] = [publishes, recovers, isRefused];

for (const form of FORMS) {
  Deno.test(`Centrifugo's own library speaks with the bus in ${form.name}`, async (t) => {
    await using bus = await startLocalBus(CONFIG);
    await using clients = new AsyncDisposableStack();
    const open: World["open"] = async ({ at = bus.http_url, more = {}, ...options } = {}) => {
      const token = await bus.tokenFor(options);
      const client = clientOf(form, at, { token, ...more });
      clients.defer(() => client.disconnect());
      client.connect();
      await client.ready(20_000);
      return client;
    };
    for (const [step, run] of Object.entries(STEPS)) {
      if (form.way !== "websocket" && !BY_WAY.includes(run)) continue;
      await t.step(step, () => run({ bus, form, open }));
    }
  });
}
