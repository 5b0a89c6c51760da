/** Centrifugo's own library when the bus drops messages for a slow client, and when a client exceeds a limit. */
import assert from "node:assert/strict";
import { Centrifuge } from "centrifuge";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { samplesOf } from "./harness/server_state.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { endpointOf, HURRY, listen, opened } from "./peers/centrifugo_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = "[centrifugo]\nenabled = true\n";

/** Reads a channel in its own or a server-side subscription, and counts the messages before each recovery. */
async function read(client: Centrifuge, is_served: boolean) {
  const offsets: number[] = [];
  const kept: number[] = [];
  if (!is_served) {
    client.connect();
    const { sub, ...rest } = await listen(client, "log:slow");
    sub.on("publication", ({ offset = 0 }) => void offsets.push(offset));
    sub.on("subscribing", () => void kept.push(offsets.length));
    return { ...rest, offsets, kept };
  }
  const facts = { received: [] as number[], codes: [] as number[], recovered: [] as boolean[] };
  client.on("publication", ({ data, offset = 0 }) => {
    facts.received.push(data.n);
    offsets.push(offset);
  });
  client.on("connecting", ({ code }) => void facts.codes.push(code));
  client.on("subscribing", () => void kept.push(offsets.length));
  client.on("subscribed", ({ recovered }) => void facts.recovered.push(recovered));
  client.connect();
  await until("in", () => facts.recovered.length === 1);
  return { ...facts, offsets, kept };
}

async function losesAndRecovers(code: 2500 | 3010): Promise<void> {
  const is_served = code === 3010;
  await using bus = await startLocalBus(`${CONFIG}server_side = ["log:*"]
[limits]
#constant limits.slow_reader_bytes = 65_536
[usage]
enabled = true
#constant usage.flush_ms = 50
${durableRooms("log:*", 'slow_reader = "drop-oldest"')}
`);
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  const endpoint = endpointOf(`ws://127.0.0.1:${proxy.port}`);
  const claims = is_served ? { channels: ["log:slow"] } : {};
  const client = new Centrifuge(endpoint, { token: await bus.tokenFor({ claims }), ...HURRY });
  using _client = { [Symbol.dispose]: () => client.disconnect() };
  const { received, codes, recovered, offsets, kept } = await read(client, is_served);
  const backend = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  let sent = 0;
  const publish = () => {
    const data = { n: sent++, text: "x".repeat(60_000) };
    return backend.done("POST", "rooms/log:slow/messages", { type: "publication", data });
  };
  await publish();
  await until("the first", () => received.length === 1);
  proxy.pause();
  await until("some are left out", async () => {
    for (let more = 0; more < 10; more++) await publish();
    const lost = (await samplesOf(bus.ops_url)).get('shield_slow_reader_total{action="dropped"}');
    return (lost ?? 0) >= 20;
  });
  proxy.resume();
  const progress = () => `${received.length} of ${sent}, after ${codes}, recovered ${recovered}`;
  await until(progress, () => received.length >= sent);
  await publish();
  await until(progress, () => received.length >= sent);
  assert.deepEqual(received, Array.from({ length: sent }, (_, at) => at));
  assert.deepEqual(codes.filter((code) => code >= 2_500), codes.slice(1));
  assert.ok(codes.includes(code), `${codes}`);
  assert.deepEqual(recovered, [false, ...Array(codes.length - 1).fill(true)]);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  let deliveries = 0;
  const counted = async () => {
    const { rows } = await admin.read("/v1/usage?by=room&tenant=default");
    deliveries = rows.find(({ room }: { room: string }) => room === "log:*")?.deliveries ?? 0;
    return deliveries >= sent;
  };
  await until(() => `deliveries of ${sent}: ${deliveries}`, counted);
  assert.equal(deliveries, sent, "each counts once");
  // The messages after the first GAP were not pushed: the recovery brought them.
  for (const offset of offsets.slice(kept[0], -1)) {
    const path = `/v1/why?room=log:slow&offset=${offset}&user=tester`;
    const { connections } = await admin.read(path);
    const states = connections.map((one: { outcomes: { state: string }[] }) =>
      one.outcomes[0]?.state
    );
    const given = states.filter((state: string) => ["sent", "caught_up"].includes(state));
    assert.deepEqual(given, ["caught_up"], `${offset}: ${states}`);
  }
}

Deno.test("a slow client recovers lost messages of its own subscription once", () =>
  losesAndRecovers(2500));

Deno.test("a slow client recovers lost messages of a server-side subscription once", () =>
  losesAndRecovers(3010));

Deno.test("a slow client of a room without history receives the newest queued messages", async () => {
  await using bus = await startLocalBus(`${CONFIG}server_side = ["served:*"]
[limits]
#constant limits.slow_reader_bytes = 65_536
[[rooms]]
room = "*"
slow_reader = "latest"
`);
  for (const room of ["own:slow", "served:slow"]) {
    await using proxy = startTcpProxy(Number(new URL(bus.url).port));
    const endpoint = endpointOf(`ws://127.0.0.1:${proxy.port}`);
    const token = await bus.tokenFor({ claims: { channels: [room], caps: [] } });
    const client = new Centrifuge(endpoint, { token, ...HURRY });
    using _client = { [Symbol.dispose]: () => client.disconnect() };
    const received: number[] = [];
    const codes: number[] = [];
    client.on("connecting", ({ code }) => void codes.push(code));
    client.on("publication", ({ data }) => void received.push(data.n));
    const served = new Promise((resolve) => client.once("subscribed", resolve));
    client.connect();
    const read_by = room === "own:slow"
      ? await listen(client, room)
      : await served.then(() => ({ received, codes }));
    const backend = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
    let sent = 0;
    const publish = () => {
      const headers = { "x-key": `key-${sent % 4}` };
      const data = { n: sent++, text: "x".repeat(30_000) };
      return backend.done("POST", `rooms/${room}/messages`, { type: "publication", headers, data });
    };
    await publish();
    await until("the first", () => read_by.received.length === 1);
    proxy.pause();
    const lost = async () =>
      (await samplesOf(bus.ops_url)).get('shield_slow_reader_total{action="dropped"}') ?? 0;
    const before = await lost();
    await until("some are left out", async () => {
      for (let more = 0; more < 10; more++) await publish();
      return await lost() >= before + 20;
    });
    proxy.resume();
    await until(
      () => `${read_by.received} of ${sent}, ${read_by.codes}`,
      () => read_by.received.at(-1) === sent - 1,
    );
    assert.deepEqual(read_by.codes.slice(1), []);
  }
});

Deno.test("a client that exceeds a limit receives the limit's error code", async () => {
  await using bus = await startLocalBus(`${CONFIG}
[limits]
rooms_per_connection = 1
user_messages_per_second = 5
[usage]
enabled = true
#constant usage.flush_ms = 50
[[usage.budgets]]
tenant = "poor"
per = "month"
unit = "messages_in"
limit = 1
action = "refuse"
`);
  using rich = await opened(bus.url, { token: await bus.tokenFor() });
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
  using poor = await opened(bus.url, { token: await bus.tokenFor({ tenant: "poor" }) });
  await until("its budget is used", async () => {
    const code = await poor.publish("one", {}).then(() => 0, (error) => error.code);
    assert.ok([0, 106, 111].includes(code), `${code}`);
    return code === 106;
  });
});
