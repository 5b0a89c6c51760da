/**
 * Connections without WebSocket, on a real bus: the SDK's own client over requests and a streamed answer, and refusals
 * of other clients.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { ArqonError, Connection, ConnectOptions, Message } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { history } from "@arqon/sdk/history";
import { HttpSocket } from "@arqon/sdk/http";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { startNginx } from "./proxies/proxies.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[server]
heartbeat_ms = 1_000
drain_ms = 1_000
${durableRooms("kept*", "history_size = 10_000")}
`;

const over = (bus: TestBus, more: Partial<ConnectOptions> = {}): Promise<Connection> =>
  connect({ url: bus.http_url, token: bus.token, webSocket: HttpSocket, ...more });

/** The data of `count` messages; then it unsubscribes. */
async function taken(messages: AsyncIterable<Message>, count: number): Promise<unknown[]> {
  const data: unknown[] = [];
  for await (const message of messages) {
    if (message.type === "t") data.push(message.json());
    if (data.length === count) return data;
  }
  throw new Error(`the room has ended after ${data.length} messages`);
}

const COUNT = 500;
const NUMBERS = Array.from({ length: COUNT }, (_, n) => n);

async function speaks(bus: TestBus): Promise<void> {
  await using one = await over(bus);
  await using two = await connect({ url: bus.http_url, token: bus.token });
  await using messages = one.room("kept").subscribe({ presence: true });
  await using others = two.room("kept").subscribe({ presence: true });
  await Promise.all([messages.ready, others.ready]);
  await until(
    "both are connected",
    () => others.presence.members.size === 2 && messages.presence.members.size === 2,
  );
  const sent = await Promise.all(NUMBERS.map((n) => one.room("kept").publish("t", n)));
  assert.equal(Number(sent.at(-1)?.offset), COUNT);
  assert.deepEqual(await taken(messages, COUNT), NUMBERS);
  await until("one has left the room", () => others.presence.members.size === 1);
  await using again = one.room("kept").subscribe({ presence: true });
  await again.ready;
  assert.equal((await history(one.room("kept"), { limit: 3 })).messages.length, 3);
  await roomState(one.room("kept")).set("a", { b: 1 });
  assert.deepEqual((await roomState(two.room("kept")).get("a"))?.value, { b: 1 });
  await one.close();
  await until("one has left", () => others.presence.members.size === 1);
  assert.deepEqual(await taken(others, COUNT), NUMBERS);
}

async function isPutOut(bus: TestBus): Promise<void> {
  const errors: ArqonError[] = [];
  await using zoe = await over(bus, {
    token: await bus.tokenFor({ user: "zoe" }),
    onError: (error) => errors.push(error),
  });
  await using messages = zoe.room("plain").subscribe();
  await messages.ready;
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  await service.done("POST", "bans", { user_id: "zoe", reason: "spam" });
  assert.equal((await zoe.closed)?.reason, "banned");
  await assert.rejects(over(bus, { token: await bus.tokenFor({ user: "zoe" }) }), {
    reason: "banned",
  });
  await service.done("DELETE", "bans/zoe");
}

const NUMBER_ONLY = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 1, 7]);

async function refuses(bus: TestBus): Promise<void> {
  using reader = await EventReader.open(`${bus.http_url}/v1/connections`, { token: bus.token });
  const { path } = (await reader.until("session")).data;
  assert.equal(typeof (await reader.next())?.data, "string", "WELCOME");
  const other = await bus.tokenFor({ user: "somebody-else" });
  const post = async (body: number[] | Uint8Array, token = bus.token, to = path) => {
    const response = await fetch(bus.http_url + to, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: new Uint8Array(body),
    });
    const text = await response.text();
    return text === "" ? response.status : [response.status, JSON.parse(text).reason];
  };
  assert.deepEqual(await post(NUMBER_ONLY, other), [404, "not-found"]);
  assert.deepEqual(await post(NUMBER_ONLY, "x.y.z"), [401, "token-malformed"]);
  assert.deepEqual(await post(NUMBER_ONLY, bus.token, "/v1/connections/x"), [404, "not-found"]);
  const elsewhere = path.replace(/node=.*/, "node=elsewhere");
  assert.deepEqual(await post(NUMBER_ONLY, bus.token, elsewhere), [404, "not-found"]);
  assert.deepEqual(await post(NUMBER_ONLY, bus.token, `${elsewhere}.%20`), [404, "not-found"]);
  assert.deepEqual(await post([0, 0, 0]), [400, "malformed-body"]);
  assert.deepEqual(await post([0, 0, 0, 1, 0, 0, 0, 1, 7]), [400, "invalid-field"]);
  assert.deepEqual(await post(new Uint8Array(1_000_000)), [413, "too-large"]);
  // A PING in a batch that arrives twice is answered once.
  assert.equal(await post(NUMBER_ONLY), 204);
  assert.equal(await post(NUMBER_ONLY), 204);
  assert.equal(await post([0, 0, 0, 1, 0, 0, 0, 2, 7, 9]), 204);
  assert.equal(await post([0, 0, 0, 2, 0, 0, 0, 0]), 204);
  const rest = await reader.rest();
  const last = rest.pop();
  assert.deepEqual([last?.name, last?.data], ["closed", { code: 1000, reason: "" }]);
  const pongs = rest.map(({ data }) => atob(data)).filter((text) => text.charCodeAt(0) === 8);
  assert.deepEqual(pongs.map((text) => text.length), [1, 2]);
  assert.deepEqual(await post(NUMBER_ONLY), [404, "not-found"]);
}

async function endsOfSilence(bus: TestBus): Promise<void> {
  const asked = performance.now();
  using reader = await EventReader.open(`${bus.http_url}/v1/connections`, { token: bus.token });
  assert.deepEqual((await reader.rest()).at(-1)?.data, { code: 4408, reason: "heartbeat-lost" });
  assert.ok(performance.now() - asked >= 3_000);
}

const STEPS: Readonly<Record<string, (bus: TestBus) => Promise<void>>> = {
  "messages, history, state and presence": speaks,
  "a ban": isPutOut,
  "refusals": refuses,
  "a client that answers no PING": endsOfSilence,
};

for (const websocket of ["native", "own"]) {
  Deno.test(`connections over HTTP beside ${websocket} sockets`, async (t) => {
    const config = CONFIG.replace("[server]", `[server]\nwebsocket = "${websocket}"`);
    await using bus = await startLocalBus(config);
    for (const [name, step] of Object.entries(STEPS)) await t.step(name, () => step(bus));
  });
}

/** Polls manually: what is repeated, what is refused, and the end. */
async function polled(bus: TestBus): Promise<void> {
  const ask = async (path: string, token = bus.token, body?: number[]) => {
    const method = body === undefined ? "GET" : "POST";
    const init = { method, ...(body === undefined ? {} : { body: new Uint8Array(body) }) };
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(bus.http_url + path, { ...init, headers });
    return { status: response.status, text: await response.text() };
  };
  const { text } = await ask("/v1/connections?poll=0");
  const { path } = JSON.parse(/event: session\ndata: (.*)/.exec(text)![1]!);
  const next = `${path}&poll=1`;
  const waiting = ask(next);
  assert.equal((await ask(path, bus.token, [...NUMBER_ONLY])).status, 204);
  const answer = await waiting;
  assert.match(answer.text, /^data: /, "the PONG, or WELCOME before it");
  assert.deepEqual(await ask(next), answer, "a request that is repeated has the same answer");
  assert.equal((await ask(`${path}&poll=3`)).status, 400);
  assert.equal((await ask(path)).status, 400);
  assert.equal((await ask(next, await bus.tokenFor({ user: "other" }))).status, 404);
  const end = [0, 0, 0, 1, 0, 0, 0, 0];
  assert.equal((await ask(path, bus.token, end)).status, 204);
  let refused_for = "";
  for (let poll = 2; !refused_for.includes("event: closed"); poll++) {
    refused_for = (await ask(`${path}&poll=${poll}`)).text;
  }
  await until("it is removed", async () => (await ask(`${path}&poll=9`)).status === 404);
  using stream = await EventReader.open(`${bus.http_url}/v1/connections`, { token: bus.token });
  const { path: streamed } = (await stream.until("session")).data;
  assert.equal((await ask(`${streamed}&poll=1`)).status, 404, "it is no polled one");
}

Deno.test("behind a proxy that buffers streams the client polls, and everything works", async () => {
  await using bus = await startLocalBus(CONFIG);
  const buffering = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
  await using proxy = await startNginx(Number(new URL(bus.http_url).port), false, buffering);
  const behind = { ...bus, http_url: `http://127.0.0.1:${proxy.port}` };
  for (const step of [speaks, isPutOut, polled]) await step(behind);
});

Deno.test("requests go with the token that the connection was given last", async () => {
  await using bus = await startLocalBus(CONFIG);
  // It has expired; 8 s of the 30 s tolerance for clock differences are left. If that was too short, the client has
  // connected with the second one.
  const first = await bus.tokenFor({ user: "iris", ttl_seconds: -22 });
  let requests = 0;
  await using one = await connect({
    url: bus.http_url,
    transport: "http",
    random: () => 0,
    getToken: () => requests++ === 0 ? first : bus.tokenFor({ user: "iris" }),
  });
  const { connection_id } = one.welcome;
  await until("the first token is refused", async () => {
    const headers = { authorization: `Bearer ${first}` };
    const { status, body } = await fetch(`${bus.http_url}/v1/auth/check`, { headers });
    await body?.cancel();
    return status === 401;
  });
  await one.room("lobby").publish("t", 1);
  assert.deepEqual([requests, one.welcome.connection_id], [2, connection_id]);
});
