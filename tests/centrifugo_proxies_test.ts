/**
 * Centrifugo's own library on two Shields on NATS. Behind nginx in its package's form, over each transport: nginx sends
 * streams to one Shield and the commands of `/emulation` to another; publications arrive at once and complete, and
 * clients recover from cuts. Orders of a backend at another Shield than the client's.
 */
import assert from "node:assert/strict";
import { Centrifuge, type TransportEndpoint } from "centrifuge";
import { Centrifuge as Protobuf } from "centrifuge/build/protobuf";
import { connect } from "@arqon/sdk";
import { until } from "../shared/testing/until.ts";
import { createIssuer } from "./harness/cluster.ts";
import { type LocalShield, startLocalShield } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { HURRY, listen, opened } from "./peers/centrifugo_client.ts";
import { apiKey, order } from "./peers/centrifugo_peer.ts";
import { startNginx } from "./proxies/proxies.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[centrifugo]
enabled = true
presence = ["*"]
server_side = ["orders*"]

${apiKey("acme")}
${durableRooms("log:*")}
`;
const WAYS = [
  ["websocket", Centrifuge],
  ["http_stream", Centrifuge],
  ["sse", Centrifuge],
  ["http_stream", Protobuf as unknown as typeof Centrifuge],
] as const;

interface Pair {
  readonly here: LocalShield;
  readonly there: LocalShield;
  /** Of user `ann`. */
  readonly token: string;
}

async function withPair(work: (pair: Pair) => Promise<void>): Promise<void> {
  await using issuer = await createIssuer();
  await using nats = await startNats({ jetstream: true });
  const config = `[nats]\nurls = ["${nats.url}"]\n${CONFIG}${issuer.config}`;
  await using here = await startLocalShield(config, 'node_id = "here"');
  await using there = await startLocalShield(config, 'node_id = "there"');
  await work({ here, there, token: await issuer.tokenFor() });
}

async function overEachTransport({ here, there, token }: Pair): Promise<void> {
  const elsewhere = `location /emulation { proxy_pass ${new URL(there.ready.url!).origin}; }`;
  await using nginx = await startNginx(Number(new URL(here.ready.url!).port), false, elsewhere);
  await using network = startTcpProxy(nginx.port);
  const base = `127.0.0.1:${network.port}`;
  const clients = WAYS.map(([transport, Client]) => {
    if (transport === "websocket") {
      return new Client(`ws://${base}/connection/websocket`, { token, ...HURRY });
    }
    const ways: TransportEndpoint[] = [
      { transport, endpoint: `http://${base}/connection/${transport}` },
    ];
    const emulationEndpoint = `http://${base}/emulation`;
    return new Client(ways, { token, emulationEndpoint, ...HURRY });
  });
  using _clients = { [Symbol.dispose]: () => clients.forEach((one) => one.disconnect()) };
  const received: number[][] = [];
  const readers = await Promise.all(clients.map(async (client, at) => {
    const numbers: number[] = received[at] = [];
    client.connect();
    const reader = await listen(client, "log:nginx");
    reader.sub.on("publication", ({ data }) => {
      const text = data instanceof Uint8Array ? new TextDecoder().decode(data) : undefined;
      numbers.push((text === undefined ? data : JSON.parse(text)).n);
    });
    return reader;
  }));
  const { clients: members } = await readers[1]!.sub.presence();
  assert.equal(Object.keys(members).length, WAYS.length);
  let sent = 0;
  // nginx must not buffer a few bytes, and many bytes exceed its buffers.
  const publish = async (size: number) => {
    const data = { n: sent++, text: "x".repeat(size) };
    const [first] = readers;
    await first!.sub.publish(data);
    const all = Array.from({ length: sent }, (_, at) => at);
    await until(
      () => JSON.stringify(received),
      () => received.every(({ length }) => length >= sent),
    );
    for (const numbers of received) assert.deepEqual(numbers, all);
  };
  for (const size of [1, 200_000, 1]) await publish(size);
  await network.cut();
  await until("all are cut", () => clients.every(({ state }) => state !== "connected"));
  await using backend = await connect({ url: there.ready.url!, token });
  for (let more = 0; more < 20; more++) {
    await backend.room("log:nginx").publish("publication", { n: sent++ });
  }
  network.restore();
  const back = () => received.every(({ length }) => length >= sent);
  await until(() => JSON.stringify(received.map(({ length }) => length)), back);
  await publish(1);
  for (const { recovered } of readers) assert.equal(recovered.at(-1), true);
}

Deno.test("each transport receives every message at once behind nginx, also after a cut", () =>
  withPair(overEachTransport));

async function obeyOrders({ here, there, token }: Pair): Promise<void> {
  const user = "ann";
  const events: unknown[] = [];
  using clients = new DisposableStack();
  for (const { socket_url } of [here, there]) {
    const client = clients.use(await opened(socket_url, { token }));
    client.on("subscribed", ({ channel }) => void events.push(channel));
    client.on("publication", ({ data }) => void events.push(data));
    client.on("disconnected", ({ code, reason }) => void events.push([code, reason]));
  }
  const send = (method: string, params: object) => order(here.ready.url!, method, params);
  const channel = "orders:1";
  // A retry reaches a Shield that was slow to answer. It does not change subscribed clients.
  await until("both are in", async () => {
    await send("subscribe", { user, channel });
    return events.length >= 2;
  });
  assert.deepEqual(events.splice(0), [channel, channel]);
  await send("publish", { channel, data: 1 });
  await until("a message for each", () => events.length === 2);
  assert.deepEqual(events.splice(0), [1, 1]);
  await until("both are out", async () => {
    await send("disconnect", { user, disconnect: { code: 4567, reason: "enough" } });
    return events.length >= 2;
  });
  assert.deepEqual(events, [[4567, "enough"], [4567, "enough"]]);
}

Deno.test("orders of a backend reach the clients of each Shield", () => withPair(obeyOrders));
