/**
 * Centrifugo's server API over HTTP, in the forms of its server libraries: `cent` (Python) with a method in the path,
 * `gocent` (Go) with one command a line. Clients of the bus are in the same rooms.
 */
import assert from "node:assert/strict";
import { connect } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { apiKey, KEY } from "./peers/centrifugo_peer.ts";
import { RawClient } from "./peers/raw_client.ts";

const CONFIG = `
[centrifugo]
enabled = true
room_prefix = "c:"

${apiKey()}
${apiKey("other", "another tenant's key")}
${durableRooms("c:log:*")}
`;

interface Answer {
  readonly status: number;
  // deno-lint-ignore no-explicit-any -- the test checks the form of the answer
  readonly body: any;
}

const api = (bus: TestBus) =>
async (
  method: string,
  params: unknown = {},
  headers: Record<string, string> = { "x-api-key": KEY },
): Promise<Answer> => {
  const body = typeof params === "string" ? params : JSON.stringify(params);
  const response = await fetch(new URL(`/api${method}`, bus.http_url), {
    method: "POST",
    headers,
    body,
  });
  const text = await response.text();
  const lines = text.trim().split("\n").map((line) => JSON.parse(line));
  return { status: response.status, body: method === "" ? lines : lines[0] };
};

/** A client of the bus in a channel's room, with the messages that it receives. */
async function listen(bus: TestBus, room: string, user = "ann") {
  const client = await connect({ url: bus.url, token: await bus.tokenFor({ user }) });
  const received: unknown[] = [];
  const messages = client.room(room).subscribe({ presence: true });
  await messages.ready;
  const ended = (async () => {
    for await (const message of messages) {
      if (message.signal === undefined && !/^(PRESENCE|ROOM)_/.test(message.type)) {
        received.push([message.json(), message.headers["__proto__"]]);
      }
    }
  })().catch(({ reason }) => String(reason));
  return { client, received, ended };
}

Deno.test("a backend publishes through Centrifugo's server API", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ask = api(bus);
  const { client, received } = await listen(bus, "c:news:=20hot");
  await using _client = client;
  const tags = JSON.parse('{"__proto__":"en"}');
  const channel = "news: hot";
  assert.deepEqual((await ask("/publish", { channel, data: { n: 1 }, tags })).body, { result: {} });
  // JavaScript would write another number.
  await ask("/publish", `{"channel":"${channel}","data":{"n":12345678901234567890}}`);
  const once = { channel, data: 2, idempotency_key: "only once" };
  await ask("/publish", once);
  await ask("/publish", once);
  for (const half of ["\\ud800", "\\ud801"]) {
    const odd = `{"channel":"${channel}","data":2,"idempotency_key":"${half}"}`;
    assert.equal((await ask("/publish", odd)).body.error?.code, 107);
  }
  await ask("/publish", { channel, b64data: btoa('{"b":64}') });
  const apikey = { authorization: `apikey ${KEY}` };
  const lines = [
    { method: "publish", params: { channel, data: "one" } },
    { method: "broadcast", params: { channels: [channel, "x".repeat(64)], data: "two" } },
    { method: "dance", params: {} },
  ];
  const old = await ask("", lines.map((line) => JSON.stringify(line)).join("\n"), apikey);
  assert.deepEqual(old.body.map((reply: Answer["body"]) => reply.error?.code ?? reply.result), [
    {},
    { responses: [{ result: {} }, old.body[1].result.responses[1]] },
    104,
  ]);
  assert.equal(old.body[1].result.responses[1].error.code, 107);
  const commands = [
    { publish: { channel, data: "three" } },
    // Centrifugo publishes it: only absent data is a bad request. Other parameters that are null are absent.
    { publish: { channel, data: null, tags: null, b64data: null, idempotency_key: null } },
    { publish: { channel } },
    { publish: { channel: "" } },
    { publish: { channel: 7, data: 1 } },
    { presence_stats: { channel } },
  ];
  const batch = await ask("/batch", { commands });
  assert.deepEqual(
    batch.body.replies.map((one: Answer["body"]) => one.error?.code ?? one),
    [{ publish: {} }, { publish: {} }, 107, 107, 107, {
      presence_stats: { num_clients: 1, num_users: 1 },
    }],
  );
  await until("all of it", () => received.length === 8);
  const data = [{ n: 1 }, { n: 12345678901234567890 }, 2, { b: 64 }, "one", "two", "three", null];
  assert.deepEqual(received, data.map((one, at) => [one, at === 0 ? "en" : undefined]));
});

Deno.test("a publication is in the trace of its request", async () => {
  await using bus = await startLocalBus(CONFIG);
  const reader = new RawClient(bus.url, { token: bus.token, subprotocols: ["arqon.v1.json"] });
  await reader.json();
  reader.send({ op: "sub", room: "c:a", id: 1 });
  while ((await reader.json()).op !== "ack");
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const headers = { "x-api-key": KEY, traceparent };
  const sent = await api(bus)("/broadcast", { channels: ["a"], data: 1 }, headers);
  assert.deepEqual(sent.body, { result: { responses: [{ result: {} }] } });
  assert.equal((await reader.json()).trace_id, "a".repeat(32));
});

Deno.test("a backend receives errors as HTTP statuses if it asks for them", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using slow = await startLocalBus(`${CONFIG}[limits]\nuser_messages_per_second = 1\n`);
  const ask = (method: string, params: unknown, mode = "transport", on = bus) =>
    api(on)(method, params, { "x-api-key": KEY, "x-centrifugo-error-mode": mode });
  const data = "x";
  assert.equal((await ask("/publish", { channel: "a", data })).status, 200);
  const refused = await ask("/publish", { channel: "", data });
  assert.deepEqual([refused.status, refused.body.code], [400, 107]);
  const plain = await ask("/publish", { channel: "", data }, "custom");
  assert.deepEqual([plain.status, plain.body.error.code], [200, 107]);
  for (
    const [method, params, status, code] of [
      ["/subscribe", { user: "ann", channel: "a" }, 403, 103],
      ["/history", { channel: "log:1", since: { offset: 0, epoch: "no such" } }, 416, 112],
      ["/refresh", { user: "ann" }, 400, 108],
    ] as const
  ) {
    const { status: status_code, body } = await ask(method, params);
    assert.deepEqual([method, status_code, body.code], [method, status, code]);
  }
  await until("too fast", async () => {
    const { status, body } = await ask("/publish", { channel: "a", data }, "transport", slow);
    return status === 429 && body.code === 111;
  });
});

Deno.test("a batch stores messages in its order, and later reads of the batch find them", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ask = api(bus);
  const channels = ["log:1", "log:2"];
  const commands = Array.from(
    { length: 400 },
    (_, n) =>
      n % 100 === 99
        ? { history: { channel: "log:1", limit: 1_000 } }
        : n % 10 === 0
        ? { broadcast: { channels, data: n } }
        : { publish: { channel: "log:1", data: n } },
  );
  const { replies } = (await ask("/batch", { commands })).body;
  const offsets = replies.flatMap((reply: Answer["body"]) =>
    reply.publish?.offset ?? reply.broadcast?.responses[0].result.offset ?? []
  );
  for (const at of [99, 199, 299, 399]) {
    const { publications } = replies[at].history;
    const data = commands.slice(0, at).flatMap((one, n) => "history" in one ? [] : [n]);
    const shown = publications.map((one: Answer["body"]) => [one.data, one.offset]);
    assert.deepEqual(shown, data.map((n, index) => [n, offsets[index]]));
  }
});

Deno.test("a backend reads and disconnects through Centrifugo's server API", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ask = api(bus);
  const channel = "log:a";
  const first = (await ask("/publish", { channel, data: { n: 1 } })).body.result;
  const second = (await ask("/publish", { channel, data: { n: 2 } })).body.result;
  assert.ok(second.offset > first.offset && first.epoch !== "");
  const page = (await ask("/history", { channel, limit: 10 })).body.result;
  assert.deepEqual(page.publications.map(({ data }: Answer["body"]) => data), [{ n: 1 }, { n: 2 }]);
  assert.equal(page.publications[0].info, undefined);
  assert.deepEqual([page.offset, page.epoch], [second.offset, second.epoch]);
  const since = { offset: first.offset, epoch: first.epoch };
  const rest = (await ask("/history", { channel, limit: -1, since })).body.result;
  assert.deepEqual(rest.publications.map(({ data }: Answer["body"]) => data), [{ n: 2 }]);
  assert.deepEqual((await ask("/history", { channel })).body.result.publications, []);
  const gone = await ask("/history", { channel, since: { offset: 1, epoch: "gone" } });
  assert.equal(gone.body.error.code, 112);
  assert.equal(
    (await ask("/publish", { channel, data: 1, skip_history: true })).body.error.code,
    108,
  );
  const { client, ended } = await listen(bus, `c:${channel}`);
  await using _client = client;
  const { client: bob } = await listen(bus, `c:${channel}`, "bob");
  await using _bob = bob;
  const { presence } = (await ask("/presence", { channel })).body.result;
  const users = Object.values<Answer["body"]>(presence).map(({ user }) => user);
  assert.deepEqual(users.sort(), ["ann", "bob"]);
  const listed = async (pattern: string) =>
    (await ask("/channels", { pattern })).body.result.channels;
  assert.deepEqual(await listed("log:*"), { [channel]: { num_clients: 2 } });
  assert.deepEqual([await listed("log"), await listed("*z*")], [{}, {}]);
  const [node] = (await ask("/info")).body.result.nodes;
  assert.deepEqual([node.num_clients, node.num_users, node.num_channels], [2, 2, 1]);
  assert.deepEqual((await ask("/unsubscribe", { channel, user: "bob" })).body, { result: {} });
  await until("bob is out", async () => (await listed("*"))[channel].num_clients === 1);
  assert.deepEqual((await ask("/disconnect", { user: "ann" })).body, { result: {} });
  assert.equal(await ended, "disconnected");
  await until("ann is out", async () => (await listed("*"))[channel] === undefined);
});

Deno.test("a batch refuses commands after its answers have reached their size limit", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ask = api(bus);
  const channel = "log:long";
  for (let n = 0; n < 4; n++) {
    await ask("/publish", { channel, data: "x".repeat(200_000) });
  }
  const commands = Array.from({ length: 30 }, () => ({ history: { channel, limit: 4 } }));
  const { replies } = (await ask("/batch", { commands })).body;
  const full = replies.findIndex(({ error }: Answer["body"]) => error !== undefined);
  assert.equal(replies.length, commands.length);
  assert.ok(full > 1 && JSON.stringify(replies.slice(0, full)).length < 17 * 2 ** 20, `${full}`);
  for (const reply of replies.slice(full)) assert.equal(reply.error.code, 106);
  assert.equal((await ask("", `{"method":"info"}`)).body[0].error, undefined);
  const deep = `${"[".repeat(30_000)}${"]".repeat(30_000)}`;
  assert.equal((await ask("", `{"method":${deep}}`)).status, 400);
});

Deno.test("Centrifugo's server API refuses unsupported requests and unknown keys", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ask = api(bus);
  for (const headers of [{}, { "x-api-key": "wrong" }, { authorization: `Bearer ${bus.token}` }]) {
    assert.equal((await ask("/info", {}, headers as Record<string, string>)).status, 401);
  }
  assert.equal((await ask("/dance")).status, 404);
  assert.equal((await ask("/batch", "no json")).status, 400);
  for (const method of ["refresh", "history_remove", "rpc"]) {
    assert.equal((await ask(`/${method}`, {})).body.error.code, 108, method);
  }
  const one = { user: "ann", channel: "plain" };
  assert.equal((await ask("/subscribe", one)).body.error.code, 103);
  assert.equal((await ask("/history", { channel: "plain", since: null })).body.error.code, 108);
  const session = { user: "ann", session: "s" };
  assert.equal((await ask("/disconnect", session)).body.error.code, 108);
  const { client } = await listen(bus, "c:lobby");
  await using _client = client;
  const other = { "x-api-key": "another tenant's key" };
  assert.deepEqual((await ask("/channels", {}, other)).body.result.channels, {});
  assert.equal((await ask("/disconnect", { user: "ann" }, other)).body.error, undefined);
  assert.deepEqual((await ask("/channels")).body.result.channels, { lobby: { num_clients: 1 } });
});
