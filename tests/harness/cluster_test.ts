/** Two Shields and a Brain, each a process, on a real NATS server that is also killed on the way. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { createIssuer, startServer } from "./cluster.ts";
import type { Issuer, ServerProcess } from "./cluster.ts";
import { startNats } from "./nats_server.ts";
import type { NatsServer } from "./nats_server.ts";
import { openText } from "../peers/raw_client.ts";
import type { RawClient } from "../peers/raw_client.ts";
import { logged } from "./server_state.ts";

async function connect(
  shield: ServerProcess,
  issuer: Issuer,
  claims?: Record<string, unknown>,
): Promise<RawClient> {
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  return await openText(url, await issuer.tokenFor(claims));
}

async function ready(server: ServerProcess): Promise<{ status: number; body: string }> {
  const response = await fetch(`${server.ready.ops_url}/health/ready`);
  return { status: response.status, body: await response.text() };
}

interface Cluster {
  nats: NatsServer;
  issuer: Issuer;
  one: ServerProcess;
  two: ServerProcess;
  brain: ServerProcess;
}

async function across({ issuer, one, two }: Cluster): Promise<void> {
  const subscriber = await connect(two, issuer);
  const stranger = await connect(two, issuer, { tenant_id: "other" });
  for (const client of [subscriber, stranger]) {
    client.send({ op: "sub", room: "lobby", id: 1 });
    assert.equal((await client.json()).code, 0);
  }
  const publisher = await connect(one, issuer);
  for (let index = 0; index < 1_000; index++) {
    publisher.send({ op: "pub", room: "lobby", type: String(index), data: index, id: index + 1 });
  }
  for (let index = 0; index < 1_000; index++) {
    const message = await subscriber.json();
    assert.equal(message.data, index);
    assert.equal(message.sender, "ann");
    assert.deepEqual(await publisher.json(), { op: "ack", id: index + 1, code: 0 });
  }
  stranger.send({ op: "pub", room: "lobby", type: "own" });
  assert.equal((await stranger.json()).type, "own", "another tenant hears only itself");
  for (const client of [subscriber, stranger, publisher]) client[Symbol.dispose]();
}

async function commands({ issuer, one, two }: Cluster): Promise<void> {
  const [a, b] = [await connect(one, issuer), await connect(two, issuer)];
  a.send({ op: "cmd", room: "state", name: "room.set", data: { key: "k", value: 1 }, id: 1 });
  const { version } = (await a.json()).result;
  b.send({ op: "cmd", room: "state", name: "room.get", data: { key: "k" }, id: 2 });
  const read = (await b.json()).result;
  assert.deepEqual([read.value, read.version], [1, version]);
  a[Symbol.dispose]();
  b[Symbol.dispose]();
}

async function outage({ nats, issuer, one, two }: Cluster): Promise<void> {
  const subscriber = await connect(two, issuer);
  subscriber.send({ op: "sub", room: "outage", id: 1 });
  assert.equal((await subscriber.json()).code, 0);
  const publisher = await connect(one, issuer);
  await nats.kill();
  await until("shield one is not ready", async () => (await ready(one)).status === 503);
  publisher.send({ op: "pub", room: "outage", type: "lost", id: 2 });
  const refused = await publisher.json();
  assert.equal(refused.code, 503);
  assert.equal(refused.reason, "spine-unavailable");
  await logged(one, /connection to NATS is lost/);
  await nats.start();
  await until("shield one comes back", async () => (await ready(one)).status === 200);
  await until("shield two comes back", async () => (await ready(two)).status === 200);
  const gap = await subscriber.json();
  assert.equal(gap.signal.kind, "GAP");
  assert.equal(gap.room, "outage");
  publisher.send({ op: "pub", room: "outage", type: "after", id: 3 });
  assert.equal((await publisher.json()).code, 0);
  assert.equal((await subscriber.json()).type, "after", "subscribed again, nothing in between");
  publisher[Symbol.dispose]();
  subscriber[Symbol.dispose]();
}

async function withoutBrain({ issuer, one, brain }: Cluster): Promise<void> {
  const client = await connect(one, issuer);
  await brain.stop();
  client.send({ op: "cmd", room: "r", name: "room.get", id: 1 });
  const refused = await client.json();
  assert.equal(refused.reason, "brain-unavailable");
  assert.equal(refused.code, 503);
  client.send({ op: "pub", room: "r", type: "still", id: 2 });
  assert.equal((await client.json()).code, 0, "messages do not need the Brain");
  client[Symbol.dispose]();
}

Deno.test("two Shields and a Brain on real NATS", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const spine = `[nats]\nurls = ["${nats.url}"]\n`;
  const config = spine + issuer.config;
  await using one = await startServer("shield", config, issuer.dir);
  await using two = await startServer("shield", config, issuer.dir);
  await using brain = await startServer("brain", spine, issuer.dir);
  const cluster = { nats, issuer, one, two, brain };
  await t.step("publisher on one, subscriber on the other, in order", () => across(cluster));
  await t.step("room state is the same from both", () => commands(cluster));
  await t.step("a dead NATS: 503, not ready; then GAP, and on", () => outage(cluster));
  await t.step("without a Brain messages go on", () => withoutBrain(cluster));
  await Deno.remove(issuer.dir, { recursive: true });
});
