/**
 * Centrifugo's own library behind nginx in its package's form, over each transport: nginx sends streams to one Shield
 * and the commands of `/emulation` to another. Publications arrive at once and complete; clients recover from cuts.
 */
import assert from "node:assert/strict";
import { Centrifuge, type TransportEndpoint } from "centrifuge";
import { Centrifuge as Protobuf } from "centrifuge/build/protobuf";
import { connect } from "@arqon/sdk";
import { until } from "../shared/testing/until.ts";
import { createIssuer } from "./harness/cluster.ts";
import { startLocalShield } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { HURRY, listen } from "./peers/centrifugo_client.ts";
import { startNginx } from "./proxies/proxies.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[centrifugo]
enabled = true
presence = ["*"]

${durableRooms("log:*")}
`;
const WAYS = [
  ["websocket", Centrifuge],
  ["http_stream", Centrifuge],
  ["sse", Centrifuge],
  ["http_stream", Protobuf as unknown as typeof Centrifuge],
] as const;

Deno.test("each transport receives every message at once behind nginx, also after a cut", async () => {
  await using issuer = await createIssuer();
  await using nats = await startNats({ jetstream: true });
  const config = `[nats]\nurls = ["${nats.url}"]\n${CONFIG}${issuer.config}`;
  await using here = await startLocalShield(config, 'node_id = "here"');
  await using there = await startLocalShield(config, 'node_id = "there"');
  const elsewhere = `location /emulation { proxy_pass ${new URL(there.ready.url!).origin}; }`;
  await using nginx = await startNginx(Number(new URL(here.ready.url!).port), false, elsewhere);
  await using network = startTcpProxy(nginx.port);
  const base = `127.0.0.1:${network.port}`;
  const token = await issuer.tokenFor();
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
});
