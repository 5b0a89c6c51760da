/**
 * Room classes as operators and clients see them: two Shields and a Brain, each a process, on a real
 * NATS. What is set on one Shield holds on the other, and no connection ends for it.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

const ROOMS = "tenants/acme/rooms";

interface Cluster {
  readonly issuer: Issuer;
  readonly one: ServerProcess;
  readonly two: ServerProcess;
  /** Connected to the second Shield before anything is set; nothing of it ends until the end. */
  readonly client: RawClient;
}

async function connect({ ready }: ServerProcess, issuer: Issuer): Promise<RawClient> {
  return await openText(`${ready.url?.replace(/^http/, "ws")}/v1/socket`, await issuer.tokenFor());
}

async function admin(
  { ready }: ServerProcess,
  issuer: Issuer,
  method: string,
  path: string,
  body?: object,
  // deno-lint-ignore no-explicit-any -- the tests say what is in it
): Promise<{ readonly status: number; readonly body: any }> {
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const response = await fetch(`${ready.admin_url}/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

/** Sets a class on the first Shield and waits until the second has it in force. */
async function set({ issuer, one, two }: Cluster, room_class: object): Promise<void> {
  const answer = await admin(one, issuer, "PUT", ROOMS, room_class);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.equal(answer.body.here.in_force, true);
  await until(
    "the class arrives",
    async () => (await admin(two, issuer, "GET", ROOMS)).body.here.version >= answer.body.version,
  );
}

async function explained(shield: ServerProcess, issuer: Issuer, room: string) {
  const path = `rooms/classes/explain?tenant=acme&room=${room}`;
  const { status, body } = await admin(shield, issuer, "GET", path);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

async function agree(cluster: Cluster): Promise<void> {
  const { issuer, one, two } = cluster;
  const before = await explained(two, issuer, "chat-vip1");
  assert.deepEqual([before.class.pattern, before.class.source], ["chat-*", "config"]);
  await set(cluster, { room: "chat-vip*", history_size: 7 });
  const nodes = new Set<string>();
  for (const shield of [one, two]) {
    const { node_id, class: one, others } = await explained(shield, issuer, "chat-vip1");
    nodes.add(node_id);
    assert.deepEqual([one.pattern, one.source, one.history_size], ["chat-vip*", "tenant", 7]);
    assert.deepEqual(others.map(({ source }: { source: string }) => source), ["config", "default"]);
  }
  assert.equal(nodes.size, 2);
  const removed = await admin(two, issuer, "DELETE", `${ROOMS}?room=chat-vip*`);
  assert.equal(removed.body.changed, true);
  await until(
    "the class goes",
    async () => (await explained(one, issuer, "chat-vip1")).class.pattern === "chat-*",
  );
}

async function refused({ issuer, one }: Cluster): Promise<void> {
  const bad = await admin(one, issuer, "PUT", ROOMS, { room: "a", cache_last: true });
  assert.deepEqual([bad.status, bad.body.reason], [400, "invalid-settings"]);
  assert.match(bad.body.detail, /cache_last/);
  const user = await fetch(`${one.ready.admin_url}/v1/rooms/classes`, {
    headers: { authorization: `Bearer ${await issuer.tokenFor()}` },
  });
  assert.equal(user.status, 403);
  await user.body?.cancel();
}

async function presence(cluster: Cluster): Promise<void> {
  const { client } = cluster;
  await set(cluster, { room: "quiet", presence: false });
  client.send({ op: "sub", room: "quiet", presence: true, id: 1 });
  const { code, reason } = await client.json();
  assert.deepEqual([code, reason], [403, "presence-disabled"]);
  client.send({ op: "sub", room: "quiet", id: 2 });
  assert.equal((await client.json()).code, 0, "without presence it is a room like any other");
}

async function members(cluster: Cluster): Promise<void> {
  const { client, issuer, two } = cluster;
  await set(cluster, { room: "small", max_members: 1 });
  client.send({ op: "sub", room: "small", presence: true, id: 3 });
  const first = await client.json();
  assert.equal(first.code, 0, JSON.stringify(first));
  using second = await connect(two, issuer);
  second.send({ op: "sub", room: "small", presence: true, id: 1 });
  const { code, reason, message } = await second.json();
  assert.deepEqual([code, reason], [429, "member-limit"]);
  assert.match(String(message), /the room has 1 member$/);
  await set(cluster, { room: "small", max_members: 2 });
  second.send({ op: "sub", room: "small", presence: true, id: 2 });
  const later = await second.json();
  assert.equal(later.code, 0, JSON.stringify(later));
}

async function echo(cluster: Cluster): Promise<void> {
  const { issuer, two } = cluster;
  using ann = await connect(two, issuer);
  using bob = await connect(two, issuer);
  for (const client of [ann, bob]) {
    client.send({ op: "sub", room: "stage", id: 1 });
    assert.equal((await client.json()).code, 0);
  }
  await set(cluster, { room: "stage", echo: false });
  ann.send({ op: "pub", room: "stage", data: "quietly", id: 2 });
  assert.deepEqual(await ann.json(), { op: "ack", id: 2, code: 0 });
  assert.equal((await bob.json()).data, "quietly");
  await set(cluster, { room: "stage", echo: true });
  ann.send({ op: "pub", room: "stage", data: "aloud" });
  assert.equal((await ann.json()).data, "aloud", "and nothing of what was said quietly");
  assert.equal((await bob.json()).data, "aloud");
}

/** The first connection has seen every change, and is still there. */
async function stays({ client }: Cluster): Promise<void> {
  client.send({ op: "unsub", room: "quiet", id: 9 });
  for (;;) {
    const frame = await client.json();
    if (frame.id !== 9) continue;
    assert.equal(frame.code, 0);
    return;
  }
}

Deno.test("room classes on two Shields and a real NATS", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const spine = `[nats]\nurls = ["${nats.url}"]\n`;
  const config = `${spine}${issuer.config}\n[[rooms]]\nroom = "chat-*"\n`;
  await using _brain = await startServer("brain", spine, issuer.dir);
  await using one = await startServer("shield", config, issuer.dir);
  await using two = await startServer("shield", config, issuer.dir);
  using client = await connect(two, issuer);
  const cluster = { issuer, one, two, client };
  await t.step("a class set on one Shield holds on the other", () => agree(cluster));
  await t.step("bad classes and strangers are refused", () => refused(cluster));
  await t.step("a room without presence is one without members", () => presence(cluster));
  await t.step("a room's members are bounded by its class", () => members(cluster));
  await t.step("a room without echo is silent for who speaks", () => echo(cluster));
  await t.step("no connection ended", () => stays(cluster));
  await Deno.remove(issuer.dir, { recursive: true });
});
