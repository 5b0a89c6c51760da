/**
 * Centrifugo's own library while Shields on NATS are killed or stop: over each transport a client receives the messages
 * of a durable room once and in order, and presence, joins and leaves are correct.
 */
import assert from "node:assert/strict";
import { Centrifuge, type Options, type TransportEndpoint } from "centrifuge";
import { connect } from "@arqon/sdk";
import { until } from "../shared/testing/until.ts";
import { killableOnNats } from "./kills/killable_bus.ts";
import { endpointOf, HURRY, listen } from "./peers/centrifugo_client.ts";

const ON = "[centrifugo]\nenabled = true\n";
const MESSAGES = 2_000;
const KILLS = 3;
/** Messages between two kills. */
const A_KILL = MESSAGES / (KILLS + 2);

Deno.test("clients on each transport receive messages once over kills and stops of Shields on NATS", async () => {
  await using bus = await killableOnNats(ON, "drain_ms = 1_000");
  const [here, there] = bus.urls as readonly [string, string];
  const stream = (transport: "http_stream" | "sse", at: string): TransportEndpoint[] => [
    { transport, endpoint: `${at}/connection/${transport}` },
  ];
  // Its commands reach the Shield without its stream. While that Shield is down, they are lost.
  const options: Partial<Options> = {
    token: bus.token,
    ...HURRY,
    timeout: 2_000,
    fetch: (...request: Parameters<typeof fetch>) =>
      fetch(...request).catch(() => new Response(null, { status: 503 })),
  };
  const clients = [
    new Centrifuge(endpointOf(here), options),
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
    const before = sent;
    // A Shield that stops notifies its connected clients only: all must have reconnected after the previous kill.
    if (turn === KILLS) {
      await until(
        "all have reconnected",
        () => readers.every(({ received }) => received.length >= before),
      );
    }
    await bus.killOne(turn, turn === KILLS ? "SIGTERM" : "SIGKILL");
  }
  await publishing;
  for (const { received, codes } of readers) {
    await until(() => `all: ${received.length} after ${codes}`, () => received.length >= MESSAGES);
    assert.deepEqual(received, Array.from({ length: MESSAGES }, (_, at) => at));
  }
  // The last client was on the Shield that stopped.
  assert.ok(readers[2]?.codes.includes(3_001), `${readers[2]?.codes}`);
});

Deno.test("Centrifugo's clients see leaves of a killed Shield's clients, and their joins on another", async () => {
  const config = `${ON}join_leave = ["hall*"]`;
  const silent = "\n#constant presence.down_ms = 3_000\n#constant presence.heartbeat_ms = 500\n";
  await using bus = await killableOnNats(config + silent);
  const [here, there] = bus.urls as readonly [string, string];
  const stream: TransportEndpoint[] = [
    { transport: "http_stream", endpoint: `${there}/connection/http_stream` },
  ];
  const options: Partial<Options> = { token: bus.token, ...HURRY };
  const emulationEndpoint = `${there}/emulation`;
  const clients = [
    new Centrifuge(endpointOf(here), options),
    new Centrifuge(endpointOf(there), options),
    new Centrifuge(stream, { ...options, emulationEndpoint }),
  ] as const;
  using _clients = { [Symbol.dispose]: () => clients.forEach((one) => one.disconnect()) };
  const ids: string[][] = clients.map(() => []);
  const changes: string[] = [];
  const subs = clients.map((client, n) => {
    client.on("connected", (context) => void ids[n]!.push(context.client));
    const sub = client.newSubscription("hall:1");
    if (n === 0) {
      sub.on("join", ({ info }) => void changes.push(`+${info.client}`));
      sub.on("leave", ({ info }) => void changes.push(`-${info.client}`));
    }
    return sub;
  });
  const [watching] = subs;
  for (const [n, sub] of subs.entries()) {
    sub.subscribe();
    clients[n]!.connect();
    await sub.ready(20_000);
  }
  const present = async () => Object.keys((await watching!.presence()).clients).sort();
  const now = () => ids.map((all) => all.at(-1)!).sort();
  await until("all three", async () => String(await present()) === String(now()));
  // A join that is reported late would count as one of the first turn.
  await until("both joins", () => ids.slice(1).every((all) => changes.includes(`+${all.at(-1)}`)));
  for (let turn = 0; turn < 2; turn++) {
    const before = ids.slice(1).map((all) => all.at(-1)!);
    changes.length = 0;
    await bus.killOne(1);
    const back = ids.slice(1).map((all) => all.at(-1)!);
    const progress = () => `${changes}: ${before} to ${back}`;
    await until(progress, () => {
      for (const [n, all] of ids.slice(1).entries()) back[n] = all.at(-1)!;
      const wanted = [...before.map((id) => `-${id}`), ...back.map((id) => `+${id}`)];
      return back.every((id, n) => id !== before[n]) &&
        wanted.every((one) => changes.includes(one));
    });
    // Each change once: no connected client leaves, and none joins twice.
    assert.equal(new Set(changes).size, changes.length, progress());
    assert.equal(changes.length, 4, progress());
    await until("all three again", async () => String(await present()) === String(now()));
    const { numClients, numUsers } = await watching!.presenceStats();
    assert.deepEqual([numClients, numUsers], [3, 1]);
  }
});
