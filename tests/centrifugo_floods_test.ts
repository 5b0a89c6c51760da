/**
 * Centrifugo's own library where the bus is short of something: messages that a slow client lost, limits that a client
 * is over, and Shields that are killed or stop. Messages of durable rooms come once, and in order.
 */
import assert from "node:assert/strict";
import { Centrifuge } from "centrifuge";
import type { Options } from "centrifuge";
import { connect } from "@arqon/sdk";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startPausingProxy } from "./harness/pausing_proxy.ts";
import { samplesOf } from "./harness/server_state.ts";
import { killableOnNats } from "./kills/killable_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const CONFIG = "[centrifugo]\nenabled = true\n";
const HURRY = { minReconnectDelay: 10, maxReconnectDelay: 200, maxServerPingDelay: 60_000 };

/** A subscription, with what it has received and how it went on. */
async function listen(client: Centrifuge, channel: string, options = {}) {
  const heard: number[] = [];
  const codes: number[] = [];
  const recovered: boolean[] = [];
  const sub = client.newSubscription(channel, options);
  sub.on("publication", ({ data }) => void heard.push(data.n));
  sub.on("subscribing", ({ code }) => void codes.push(code));
  sub.on("subscribed", (told) => void recovered.push(told.recovered));
  client.on("connecting", ({ code }) => void codes.push(code));
  sub.subscribe();
  await sub.ready(20_000);
  return { sub, heard, codes, recovered };
}

Deno.test("what a slow client lost comes again, and once", async () => {
  await using bus = await startLocalBus(`${CONFIG}
[limits]
slow_reader_bytes = 65_536
[[rooms]]
room = "log:*"
durable = true
slow_reader = "drop-oldest"
`);
  await using proxy = startPausingProxy(Number(new URL(bus.url).port));
  const endpoint = `ws://127.0.0.1:${proxy.port}/connection/websocket`;
  const client = new Centrifuge(endpoint, { token: await bus.tokenFor(), ...HURRY });
  using _client = { [Symbol.dispose]: () => client.disconnect() };
  client.connect();
  const { heard, codes, recovered } = await listen(client, "log:slow");
  const backend = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  let sent = 0;
  const publish = () => {
    const data = { n: sent++, text: "x".repeat(60_000) };
    return backend.done("POST", "rooms/log:slow/messages", { type: "publication", data });
  };
  await publish();
  await until("the first", () => heard.length === 1);
  proxy.pause();
  await until("some are left out", async () => {
    await publish();
    const lost = (await samplesOf(bus.ops_url)).get('shield_slow_reader_total{action="dropped"}');
    return (lost ?? 0) >= 20;
  });
  proxy.resume();
  const told = () => `${heard.length} of ${sent}, after ${codes}, recovered ${recovered}`;
  await until(told, () => heard.length >= sent);
  await publish();
  await until(told, () => heard.length >= sent);
  assert.deepEqual(heard, Array.from({ length: sent }, (_, at) => at));
  assert.deepEqual(codes.filter((code) => code >= 2_500), codes.slice(1));
  assert.ok(codes.includes(2_500), `${codes}`);
  assert.deepEqual(recovered, [false, ...Array(codes.length - 1).fill(true)]);
});

Deno.test("limits that a client is over have their numbers", async () => {
  await using bus = await startLocalBus(`${CONFIG}
[limits]
rooms_per_connection = 1
user_messages_per_second = 5
[usage]
enabled = true
flush_ms = 50
[[usage.budgets]]
tenant = "poor"
per = "month"
unit = "messages_in"
limit = 1
action = "refuse"
`);
  const open = async (tenant?: string) => {
    const token = await bus.tokenFor(tenant === undefined ? {} : { tenant });
    const endpoint = new URL("/connection/websocket", bus.url).href;
    const client = new Centrifuge(endpoint, { token, ...HURRY });
    client.connect();
    await client.ready(20_000);
    return client;
  };
  const rich = await open();
  await listen(rich, "one");
  const second = rich.newSubscription("two");
  const ended = new Promise<number>((resolve) => {
    second.on("unsubscribed", ({ code }) => resolve(code));
  });
  second.subscribe();
  assert.equal(await ended, 106);
  const refused = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) => rich.publish("one", { n })),
  );
  const codes = refused.map((one) => one.status === "rejected" ? one.reason.code : 0);
  assert.deepEqual([...new Set(codes)].toSorted((a, b) => a - b), [0, 111]);
  const poor = await open("poor");
  const isOver = (error: { code: number }) => error.code === 106;
  await until("its budget is used", async () => {
    try {
      await poor.publish("one", {});
      return false;
    } catch (error) {
      if (isOver(error as { code: number })) return true;
      assert.equal((error as { code: number }).code, 111);
      return false;
    }
  });
  for (const client of [rich, poor]) client.disconnect();
});

const MESSAGES = 2_000;
const KILLS = 3;
/** So many messages between two kills. */
const A_KILL = MESSAGES / (KILLS + 2);

Deno.test("over kills and stops of Shields on NATS messages come once, over each transport", async () => {
  await using bus = await killableOnNats(CONFIG, "drain_ms = 1_000");
  const [here, there] = bus.urls as readonly [string, string];
  const stream = (transport: "http_stream" | "sse", at: string) => [
    { transport, endpoint: `${at}/connection/${transport}` },
  ];
  // Its commands come to the Shield that has not its stream. Where that is gone, they are lost.
  const options: Partial<Options> = {
    ...{ token: bus.token, ...HURRY, timeout: 2_000 },
    fetch: (...request: Parameters<typeof fetch>) =>
      fetch(...request).catch(() => new Response(null, { status: 503 })),
  };
  const clients = [
    new Centrifuge(`${here.replace("http", "ws")}/connection/websocket`, options),
    new Centrifuge(stream("http_stream", here), {
      ...options,
      emulationEndpoint: `${there}/emulation`,
    }),
    new Centrifuge(stream("sse", there), { ...options, emulationEndpoint: `${here}/emulation` }),
  ];
  using _clients = { [Symbol.dispose]: () => clients.forEach((one) => one.disconnect()) };
  const readers = await Promise.all(clients.map((client) => {
    client.connect();
    return listen(client, "orders:1");
  }));
  await using publisher = await connect({ url: here, token: bus.token });
  const room = publisher.room("orders:1");
  let sent = 0;
  const publish = async () => {
    while (sent < MESSAGES) {
      const n = sent++;
      await room.publish("publication", { n }, { message_id: `m-${n}`, timeout_ms: 60_000 });
    }
  };
  const publishing = publish();
  for (let turn = 0; turn <= KILLS; turn++) {
    await until("more is published", () => sent > (turn + 1) * A_KILL);
    await bus.killOne(turn, turn === KILLS ? "SIGTERM" : "SIGKILL");
  }
  await publishing;
  for (const { heard, codes } of readers) {
    await until(() => `all: ${heard.length} after ${codes}`, () => heard.length >= MESSAGES);
    assert.deepEqual(heard, Array.from({ length: MESSAGES }, (_, at) => at));
  }
  // The last of them was there where a Shield stopped.
  assert.ok(readers[2]?.codes.includes(3_001), `${readers[2]?.codes}`);
});
