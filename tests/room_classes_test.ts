/**
 * Rooms of two Shields with Brains, each a process, on a real NATS: their classes, their number, and members whose own Shield
 * is stopped.
 */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { PresenceClient } from "./peers/presence_client.ts";
import { openText, RawClient } from "./peers/raw_client.ts";

// Room classes as operators and clients see them: two Shields and a Brain, each a process, on a real NATS. What is
// set on one Shield holds on the other, and no connection ends for it.

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

// `brain_room_count` of real Brains beside a Shield on a real NATS: what lives is counted once, whoever owns it,
// across a crash, a restart and the end of rooms; the admin API says the same.

const MADE = 25;
const WITH_MEMBER = 20;
const DEADLINE_MS = 60_000;

/** Brains that crash are missed soon, and rooms that nobody uses end within the test. */
const QUICK = `
[presence]
#constant presence.heartbeat_ms = 500
#constant presence.brain_timeout_ms = 2_000
[brain]
idle_timeout_ms = 4_000
`;

async function gauge(server: ServerProcess, name: string): Promise<number> {
  const text = await (await fetch(`${server.ready.ops_url}/metrics`)).text();
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
  assert.ok(value !== undefined, `${name} is not on the page`);
  return Number(value);
}

async function rooms(brains: readonly ServerProcess[]): Promise<number> {
  const counts = await Promise.all(brains.map((brain) => gauge(brain, "brain_room_count")));
  return counts.reduce((sum, count) => sum + count, 0);
}

const live = (what: string, wanted: number, ...brains: ServerProcess[]) =>
  until(what, async () => await rooms(brains) === wanted);

interface Bus {
  readonly shield: ServerProcess;
  readonly issuer: Issuer;
  readonly brains: [ServerProcess, ServerProcess];
  readonly startBrain: (node_id: string) => Promise<ServerProcess>;
  /** With a member in each of the first rooms. */
  readonly member: PresenceClient;
  readonly writer: RawClient;
}

const nameOf = (index: number) => `room-${index}`;

/** A command writes to the rooms without a member: so they are used, and do not end. */
async function write({ writer }: Bus): Promise<void> {
  for (let index = WITH_MEMBER; index < MADE; index++) {
    const id = index;
    const set = { op: "cmd", name: "room.set", data: { key: "k", value: 1 } };
    writer.send({ ...set, room: nameOf(index), id });
    assert.equal((await writer.json()).code, 0);
  }
}

/** Repeats the writes until `done`, so that the rooms stay. */
async function whileUsed(bus: Bus, done: Promise<void>): Promise<void> {
  let is_done = false;
  const end = done.finally(() => {
    is_done = true;
  });
  end.catch(() => {});
  while (!is_done) {
    await write(bus);
    await Promise.race([end, pace(500)]);
  }
  await end;
}

async function counted(bus: Bus): Promise<void> {
  const { brains, member, shield, issuer } = bus;
  for (let index = 0; index < WITH_MEMBER; index++) {
    assert.equal((await member.sub(nameOf(index), { presence: true })).code, 0);
  }
  // Only hears: no Brain knows of it.
  bus.writer.send({ op: "sub", room: "only-heard", id: 1 });
  assert.equal((await bus.writer.json()).code, 0);
  await whileUsed(bus, live("25 rooms", MADE, ...brains));
  const [one, two] = await Promise.all(brains.map((brain) => gauge(brain, "brain_room_count")));
  assert.ok(one! > 0 && two! > 0, `the Brains share them: ${one} and ${two}`);
  for (const brain of brains) {
    const lag_seconds = await gauge(brain, "consistency_convergence_lag");
    assert.ok(lag_seconds >= 0 && lag_seconds < DEADLINE_MS / 1_000, String(lag_seconds));
    // Every Brain merges every member.
    assert.equal(await gauge(brain, "consistency_convergence_seconds_count"), WITH_MEMBER);
  }
  const admin = new AdminClient(
    shield.ready.admin_url ?? "",
    await issuer.tokenFor({ role: "admin" }),
  );
  await whileUsed(
    bus,
    admin.until("/v1/cluster", "the operators are told the same", ({ body }) => {
      const shown = body.nodes.filter(({ kind }: { kind: string }) => kind === "brain")
        .map(({ gauges }: { gauges: { rooms: number } }) => gauges.rooms);
      const sum = shown.reduce((all: number, count: number) => all + count, 0);
      return sum === MADE ? true : undefined;
    }).then(() => {}),
  );
}

async function moved(bus: Bus): Promise<void> {
  const { brains, startBrain } = bus;
  const [one, two] = brains;
  await one.stop("SIGKILL");
  await until("the other takes over", async () => {
    // Commands of rooms that nobody owns for a moment would be refused: they end, and are made anew.
    return await gauge(two, "brain_cluster_brains") === 1;
  });
  await whileUsed(bus, live("all at the other", MADE, two));
  brains[0] = await startBrain("b1");
  await whileUsed(
    bus,
    until("shared again", async () => await rooms(brains) === MADE && await rooms([two]) < MADE),
  );
  assert.equal((await brains[1].stop()).code, 0);
  await whileUsed(bus, live("all at the first", MADE, brains[0]));
}

async function ended({ brains, member }: Bus): Promise<void> {
  await live("those without a member end", WITH_MEMBER, brains[0]);
  member[Symbol.dispose]();
  await live("and the others, when it has left", 0, brains[0]);
}

Deno.test("brain_room_count is the number of rooms that live", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const startBrain = (node_id: string) =>
    startServer("brain", `${config}${QUICK}`, issuer.dir, `node_id = "${node_id}"\n`);
  await using disposed = new AsyncDisposableStack();
  const brains: Bus["brains"] = [await startBrain("b1"), await startBrain("b2")];
  disposed.defer(async () => void await Promise.all(brains.map((brain) => brain.stop())));
  const quick = QUICK.slice(0, QUICK.indexOf("[brain]"));
  await using shield = await startServer(
    "shield",
    `${config}${quick}`,
    issuer.dir,
    'node_id = "s1"\ndrain_ms = 0\n',
  );
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  const token = await issuer.tokenFor();
  using member = await PresenceClient.open(url, token);
  using writer = new RawClient(url, { token, subprotocols: ["arqon.v1.json"] });
  await writer.json();
  const bus: Bus = { shield, issuer, brains, startBrain, member, writer };
  await t.step("25 made, 20 of them with a member: 25 over two Brains", () => counted(bus));
  await t.step("a crash, a restart and a stop of a Brain change nothing", () => moved(bus));
  await t.step("rooms that end are counted no more", () => ended(bus));
  await Deno.remove(issuer.dir, { recursive: true });
});

// Members whose own Shield is stopped, as the wire shows it, on real processes: a client that returns under its id was never
// away, who does not leaves after the grace, and nobody gets another's id.

const GRACE_MS = 4_000;
const SUB = { op: "sub", room: "lobby", presence: true, member_meta: { n: 1 }, id: 1 };
const urlOf = ({ ready }: ServerProcess) => `${ready.url?.replace(/^http/, "ws")}/v1/socket`;

interface Place {
  readonly issuer: Issuer;
  readonly going: ServerProcess;
  readonly staying: ServerProcess;
}

async function withPlace(run: (place: Place) => Promise<void>): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  try {
    const config =
      `[nats]\nurls = ["${nats.url}"]\n[presence]\n#constant presence.move_grace_ms = ${GRACE_MS}\n` +
      issuer.config;
    await using _brain = await startServer("brain", config, issuer.dir);
    await using going = await startServer("shield", config, issuer.dir, "drain_ms = 0");
    await using staying = await startServer("shield", config, issuer.dir, "drain_ms = 0");
    await run({ issuer, going, staying });
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
}

/** A client and its `connection_id`; with `resume` it names a former one. */
async function enter(server: ServerProcess, issuer: Issuer, sub: string, resume?: string) {
  const query = resume === undefined ? "" : `?resume=${resume}`;
  const token = await issuer.tokenFor({ sub });
  const client = new RawClient(`${urlOf(server)}${query}`, {
    token,
    subprotocols: ["arqon.v1.json"],
  });
  const welcome = await client.json();
  return { client, id: String(welcome.connection) };
}

async function acked(client: RawClient): Promise<Record<string, unknown>> {
  for (;;) {
    const frame = await client.json();
    if (frame.op === "ack") return frame;
  }
}

Deno.test("nobody gets the id of another user, of a connection that does not move, or one twice", () =>
  withPlace(async ({ issuer, going, staying }) => {
    const stays = await enter(staying, issuer, "ann");
    const early = await enter(going, issuer, "ann", stays.id);
    assert.notEqual(early.id, stays.id, "its Shield does not stop");
    early.client.send(SUB);
    assert.equal((await acked(early.client)).code, 0);
    const stopping = going.stop();
    await early.client.closed();
    const thief = await enter(staying, issuer, "mallory", early.id);
    assert.notEqual(thief.id, early.id, "another user's");
    const first = await enter(staying, issuer, "ann", early.id);
    assert.equal(first.id, early.id);
    first.client.send(SUB);
    assert.equal((await acked(first.client)).code, 0);
    const second = await enter(staying, issuer, "ann", early.id);
    assert.notEqual(second.id, early.id, "it is in use");
    const strange = await enter(staying, issuer, "ann", "c%0a%2e");
    assert.match(strange.id, /^c[\w-]+$/);
    await stopping;
    for (const { client } of [stays, early, thief, first, second, strange]) {
      client[Symbol.dispose]();
    }
  }));
