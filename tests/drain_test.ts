/**
 * The effect of SIGTERM on a Shield, on real processes and on the wire: the request to move, the window in which
 * everything continues, the answers to pending requests, the close, the members, the exit code; and connections that
 * keep their id, also when the other Shield is notified late or a client's first connection there is lost.
 */
import assert from "node:assert/strict";
import { connect, type Msg } from "@nats-io/transport-deno";
import {
  ArqonError,
  connect as dial,
  type Connection,
  holdLock,
  type PresenceSubscription,
  type Status,
} from "../sdk/typescript/mod.ts";
import { roomState } from "@arqon/sdk/state";
import { history } from "@arqon/sdk/history";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { seen as seenWhen, until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startLocalShield } from "./harness/local_bus.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { startTcpProxy, type TcpProxy } from "./harness/tcp_proxy.ts";
import { logged } from "./harness/server_state.ts";
import { HttpPeer } from "./peers/http_peer.ts";

/** A Shield, by the fields of its ready line. */
type Node = Pick<ServerProcess, "ready" | "socket_url">;

const portOf = ({ ready }: Node) => Number(new URL(ready.url ?? "").port);

interface Place extends AsyncDisposable {
  readonly nats: NatsServer;
  readonly issuer: Issuer;
  /** A Shield on that NATS. */
  start(server_lines: string, more?: string): Promise<ServerProcess>;
}

/** For all tests without a Brain; each ends the Shields that it has started. */
const withoutBrain = sharedByTests(startPlace);

async function startPlace(): Promise<Place> {
  const stack = new AsyncDisposableStack();
  const nats = stack.use(await startNats({ jetstream: true }));
  const issuer = stack.use(await createIssuer());
  return {
    nats,
    issuer,
    start: (server_lines, more = "") => {
      const config = `[nats]\nurls = ["${nats.url}"]\n${more}${issuer.config}`;
      return startServer("shield", config, issuer.dir, server_lines);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function enter(server: Node, issuer: Issuer, sub: string): Promise<RawClient> {
  return await openText(server.socket_url, await issuer.tokenFor({ sub }));
}

/** The next frame of this kind; others are skipped. */
async function frameOf(client: RawClient, op: string): Promise<Record<string, unknown>> {
  for (;;) {
    const frame = await client.json();
    if (frame.op === op) return frame;
  }
}

async function inTheWindow({ issuer, start }: Place): Promise<void> {
  const shield = await start('node_id = "one"\ndrain_ms = 30_000\ndrain_timeout_ms = 90_000');
  using receiver = await enter(shield, issuer, "ann");
  using says = await enter(shield, issuer, "bob");
  const token = await issuer.tokenFor();
  receiver.send({ op: "sub", room: "lobby", id: 1 });
  assert.equal((await frameOf(receiver, "ack")).code, 0);
  const before_ms = Date.now();
  const stopped = shield.stop();
  for (const client of [receiver, says]) {
    const { room, signal } = await frameOf(client, "msg") as {
      room: string;
      signal: { kind: string; target: string; until_ms: number };
    };
    assert.deepEqual([room, signal.kind, signal.target], ["", "DRAIN", "one"]);
    assert.ok(signal.until_ms >= before_ms + 30_000, "the window is not over before it began");
  }
  const ready = await fetch(`${shield.ready.ops_url}/health/ready`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), /"accepting":\{"status":"unavailable",.*"detail":"draining"/);
  assert.equal((await fetch(`${shield.ready.ops_url}/health/live`)).status, 200);
  const page = await (await fetch(`${shield.ready.ops_url}/metrics`)).text();
  assert.match(page, /^shield_active_connections 2$/m);
  const peer = new HttpPeer(shield.ready.url ?? "", token);
  assert.equal(await peer.refused("POST", "rooms/lobby/messages", { data: 1 }), "503 draining");
  await assert.rejects(enter(shield, issuer, "late"), /the connection ended/);
  says.send({ op: "pub", room: "lobby", type: "t", data: "still", id: 2 });
  assert.equal((await frameOf(says, "ack")).code, 0);
  assert.equal((await frameOf(receiver, "msg")).data, "still");
  says.send({ op: "sub", room: "lobby", id: 3 });
  assert.equal((await frameOf(says, "ack")).code, 0, "who is in may still subscribe");
  receiver.socket.close(1000);
  says.socket.close(1000);
  const { code } = await stopped;
  assert.equal(code, 0, shield.log());
  assert.ok(
    Date.now() - before_ms < 30_000,
    "with nobody left it does not wait for the window's end",
  );
}

Deno.test("SIGTERM: clients are asked to move and still served; the process ends when they have disconnected", () =>
  withoutBrain().then(inTheWindow));

/** Receives the commands of a room and answers none until told to. */
async function muteBrain(nats: NatsServer, room: string) {
  const connection = await connect({ servers: nats.url.replace("nats://", "") });
  const commands: Msg[] = [];
  connection.subscribe(`t.acme.r.${room}.cmds`, { callback: (_, one) => void commands.push(one) });
  await connection.flush();
  return { commands, [Symbol.asyncDispose]: () => connection.close() };
}

const PATIENT = "[limits]\n#constant limits.command_timeout_ms = 120_000\n";

async function answersFirst({ issuer, nats, start }: Place): Promise<void> {
  const shield = await start("drain_ms = 100\ndrain_timeout_ms = 90_000", PATIENT);
  await using brain = await muteBrain(nats, "lobby");
  using client = await enter(shield, issuer, "ann");
  client.send({ op: "cmd", room: "lobby", name: "room.get", id: 1 });
  await until("the command", () => brain.commands.length > 0);
  const stopped = shield.stop();
  await frameOf(client, "msg");
  let refused: Record<string, unknown>;
  let id = 1;
  do {
    client.send({ op: "pub", room: "lobby", type: "t", id: ++id });
    refused = await frameOf(client, "ack");
  } while (refused.code === 0);
  assert.deepEqual([refused.code, refused.reason, refused.id], [503, "draining", id]);
  client.send({ op: "ping", data: "x" });
  assert.equal((await frameOf(client, "pong")).data, "x", "a heartbeat is answered to the end");
  const [command] = brain.commands;
  command?.respond(new Uint8Array([8, 1]));
  const answer = await frameOf(client, "ack");
  assert.equal(answer.id, 1, "what was asked before is answered before the close");
  assert.deepEqual(await client.closed(), { code: 1012, reason: "restart;spread_ms=100" });
  assert.equal((await stopped).code, 0, shield.log());
}

Deno.test("after the window new operations are refused ('draining') and those under way answered", () =>
  withoutBrain().then(answersFirst));

async function cutsOff({ issuer, nats, start }: Place): Promise<void> {
  const shield = await start("drain_ms = 0\ndrain_timeout_ms = 3_000", PATIENT);
  await using brain = await muteBrain(nats, "lobby");
  using client = await enter(shield, issuer, "ann");
  client.send({ op: "cmd", room: "lobby", name: "room.get", id: 1 });
  await until("the command", () => brain.commands.length > 0);
  const stopped = shield.stop();
  assert.deepEqual(await client.closed(), { code: 1012, reason: "restart;spread_ms=0" });
  assert.equal((await stopped).code, 0, shield.log());
  await logged(shield, /operations=1 msg="connections were closed with unanswered requests"/);
}

Deno.test("an unanswered request delays the process no longer than drain_timeout_ms", () =>
  withoutBrain().then(cutsOff));

async function hangs({ nats, start }: Place): Promise<void> {
  const shield = await start("drain_ms = 0\ndrain_timeout_ms = 1_500");
  await nats.freeze();
  await using _end = atEnd(() => nats.resume());
  const { code } = await shield.stop();
  assert.equal(code, 1);
  await logged(shield, /shield: not done with draining after .*drain_timeout_ms \(1500\)/);
}

Deno.test("a drain that hangs ends as failed after drain_timeout_ms", () =>
  withoutBrain().then(hangs));

/** Follows a list of members; records every moment in which this user was absent. */
async function watchUser(presence: PresenceSubscription["presence"], user_id: string) {
  const seen = { absent: 0, joins: 0, leaves: 0 };
  const here = new Set<string>();
  await presence.changes().next();
  for (const member of presence.members.values()) {
    if (member.user_id === user_id) here.add(member.connection_id);
  }
  void (async () => {
    for await (const { joined, left } of presence.changes()) {
      for (const one of joined) {
        if (one.user_id !== user_id || here.has(one.connection_id)) continue;
        here.add(one.connection_id);
        seen.joins++;
      }
      for (const one of left) if (here.delete(one.connection_id)) seen.leaves++;
      if (here.size === 0) seen.absent++;
    }
  })();
  return seen;
}

const PRESENCE = `request_timeout_ms = 60_000
[presence]
#constant presence.move_grace_ms = 3_000
grace = [{ room = "held-*", grace_ms = 4_000 }]
[[rooms]]
room = "lobby-*"
membership = "journal"
`;

interface Cluster extends Place {
  readonly going: ServerProcess;
  readonly staying: Node;
}

/** For all tests with a Brain: in addition, a Shield that stays, in this process. */
const withBrain = sharedByTests(async () => {
  const stack = new AsyncDisposableStack();
  const place = stack.use(await startPlace());
  const { nats, issuer } = place;
  const config = `[nats]\nurls = ["${nats.url}"]\n${PRESENCE}${issuer.config}`;
  const staying: Node = stack.use(await startLocalShield(config, "drain_ms = 0"));
  return { ...place, staying, [Symbol.asyncDispose]: () => stack.disposeAsync() };
});

/** Two Shields and a Brain; `going` is the one that is stopped. */
async function withCluster(
  going_lines: string,
  run: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const place = await withBrain();
  await using going = await place.start(going_lines, PRESENCE);
  await run({ ...place, going });
}

async function watcherAt(server: Node, issuer: Issuer): Promise<Connection> {
  return await dial({ url: server.socket_url, token: await issuer.tokenFor({ sub: "watcher" }) });
}

async function comesBack({ issuer, going, staying }: Cluster): Promise<void> {
  await using watcher = await watcherAt(staying, issuer);
  using list = watcher.room("held-1").subscribe({ presence: true, observer: true });
  await list.ready;
  const sub = { op: "sub", room: "held-1", presence: true, id: 1 };
  using member = await enter(going, issuer, "ann");
  member.send(sub);
  assert.equal((await frameOf(member, "ack")).code, 0);
  await until("the member", () => list.presence.count === 1);
  const seen = await watchUser(list.presence, "ann");
  const stopped = going.stop();
  assert.equal((await member.closed()).code, 1012);
  using again = await enter(staying, issuer, "ann");
  again.send(sub);
  assert.equal((await frameOf(again, "ack")).code, 0);
  assert.equal((await stopped).code, 0, going.log());
  await until("the old one's leave", () => seen.leaves === 1);
  assert.deepEqual(seen, { absent: 0, joins: 1, leaves: 1 });
}

Deno.test("a member who returns to another node within the grace time never leaves", () =>
  withCluster("drain_ms = 0", comesBack));

async function moves(
  { issuer, going, staying }: Cluster,
  transport: "websocket" | "http" = "websocket",
): Promise<void> {
  const name = `lobby-${transport}`;
  let target: Node = going;
  await using balancer = startTcpProxy(() => portOf(target));
  await using watcher = await watcherAt(staying, issuer);
  using list = watcher.room(name).subscribe({ presence: true, observer: true });
  await list.ready;
  const statuses: Status[] = [];
  await using ann = await dial({
    url: `ws://127.0.0.1:${balancer.port}`,
    token: await issuer.tokenFor({ sub: "ann" }),
    onStatus: (status) => statuses.push(status),
    transport,
    // At once: a kept-alive connection may lead it back to the old node once or twice.
    ...(transport === "http" && { random: () => 0 }),
  });
  using own = ann.room(name).subscribe({ presence: true, member_meta: { n: 1 }, no_echo: true });
  await own.ready;
  const before = ann.welcome.connection_id;
  await until("the member", () => list.presence.count === 1);
  const seen = await watchUser(list.presence, "ann");
  target = staying;
  assert.equal((await going.stop()).code, 0, going.log());
  assert.equal(ann.welcome.connection_id, before);
  while ((await watcher.room(name).count()).connections > 1) {
    // The Brain has not given up the stopped Shield yet.
  }
  assert.deepEqual(seen, { absent: 0, joins: 0, leaves: 0 }, "nobody has noticed");
  const written = async () => {
    const { messages } = await history(watcher.room(`${name}~members`));
    return messages.map(({ type }) => type);
  };
  const types = await seenWhen("the journal to be written", written, (all) => all.length >= 2);
  assert.deepEqual(types, ["joined", "occupied"], "nor has the journal");
  const [member] = own.presence.members.values();
  assert.deepEqual([own.presence.count, member?.meta], [1, { n: 1 }], "its own list is right");
  const states = statuses.map(({ state }) => state);
  assert.deepEqual(states, ["connecting", "open", "open"], "it never was without a connection");
  await ann.room(name).publish("t", "mine");
  await watcher.room(name).publish("t", "theirs");
  const { value } = await own.next();
  assert.equal(value?.text(), "theirs", "neither a GAP nor its own message");
}

Deno.test("the SDK moves to another node before it leaves: no gap, no flicker, no own echo", () =>
  withCluster("drain_ms = 10_000", moves));

Deno.test("the same over HTTP, with requests to either node", () =>
  withCluster("drain_ms = 30_000\ndrain_timeout_ms = 90_000", (cluster) => moves(cluster, "http")));

/** Requests the lock of a room repeatedly; keeps it once it has it. */
function contend(connection: Connection, room: string) {
  const seen = { refused: 0, fence: undefined as number | undefined };
  const run = async () => {
    while (seen.fence === undefined) {
      try {
        seen.fence = (await connection.room(room).lock({ ttl_ms: 60_000 })).fence;
      } catch (error) {
        if (!(error instanceof ArqonError) || error.reason !== "locked") throw error;
        seen.refused++;
      }
    }
  };
  const ended = run();
  // The awaiting code gets an error; a test that failed earlier does not await it.
  ended.catch(() => {});
  return { seen, ended };
}

async function keepsLocks({ issuer, going, staying }: Cluster): Promise<void> {
  let target: Node = going;
  await using balancer = startTcpProxy(() => portOf(target));
  await using rival = await watcherAt(staying, issuer);
  await using ann = await dial({
    url: `ws://127.0.0.1:${balancer.port}`,
    token: await issuer.tokenFor({ sub: "ann" }),
  });
  const before = ann.welcome.connection_id;
  const room = ann.room("jobs-1");
  const locks = [
    await holdLock(room, { ttl_ms: 60_000 }),
    await holdLock(ann.room("jobs-2"), { ttl_ms: 60_000 }),
  ];
  const { seen, ended } = contend(rival, "jobs-1");
  await until("the rival's first refusal", () => seen.refused > 0);
  assert.equal((await roomState(room).get()).lock?.connection_id, before);
  target = staying;
  assert.equal((await going.stop()).code, 0, going.log());
  const refused = seen.refused;
  await until("more refusals", () => seen.refused > refused + 20 || seen.fence !== undefined);
  assert.deepEqual([seen.fence, ...locks.map(({ signal }) => signal.aborted)], [
    undefined,
    false,
    false,
  ]);
  assert.notEqual(ann.welcome.connection_id, before, "one without members has nothing to keep");
  assert.equal((await roomState(room).get()).lock?.connection_id, ann.welcome.connection_id);
  await roomState(room).set("n", 1, { fence: locks[0]?.fence ?? 0 });
  await Promise.all(locks.map((lock) => lock.release()));
  await ended;
  assert.ok((seen.fence ?? 0) > (locks[0]?.fence ?? 0), "released, it is the rival's");
}

Deno.test("locks that are held move with their client: nobody else gets one in between", () =>
  withCluster("drain_ms = 10_000", keepsLocks));

interface Pair {
  readonly issuer: Issuer;
  readonly going: ServerProcess;
  readonly staying: ServerProcess;
  /** Another process with the name of the stopping one. */
  readonly again: () => Promise<ServerProcess>;
  /** Between NATS and the remaining Shield. */
  readonly way: TcpProxy;
}

/** Two Shields on one NATS server; one of them is connected through a proxy that can be slowed. */
async function withPair(run: (pair: Pair) => Promise<void>, drain_ms = 30_000): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  await using way = startTcpProxy(nats.port);
  await using issuer = await createIssuer();
  const configOf = (port: number) =>
    `[nats]\nurls = ["nats://127.0.0.1:${port}"]\nrequest_timeout_ms = 60_000\n${issuer.config}`;
  const start = (port: number, name: string) => {
    const lines = `node_id = "${name}"\ndrain_ms = ${drain_ms}\ndrain_timeout_ms = 150_000`;
    return startServer("shield", configOf(port), issuer.dir, lines);
  };
  await using _brain = await startServer("brain", configOf(nats.port), issuer.dir);
  await using going = await start(nats.port, "going");
  await using staying = await start(way.port, "staying");
  const again = () => start(nats.port, "going");
  await run({ issuer, going, staying, again, way });
}

/** Opens a connection that names the previous one, and returns the id in WELCOME. */
async function enterAs({ socket_url }: ServerProcess, issuer: Issuer, resume = "", sub = "ann") {
  const token = await issuer.tokenFor({ sub });
  const url = `${socket_url}?resume=${resume}`;
  const client = new RawClient(url, { token, subprotocols: ["arqon.v1.json"] });
  const { op, connection } = await client.json();
  assert.equal(op, "welcome");
  return { client, connection: connection as string };
}

/** Makes it a member. */
const joins = (client: RawClient) => ask(client, { op: "sub", room: "lobby", presence: true });

/** A member on the stopping Shield, which has been told to move. */
async function askedToMove({ issuer, going }: Pair) {
  const { client, connection } = await enterAs(going, issuer);
  await joins(client);
  const stopped = going.stop();
  let frame = await client.json();
  while (frame.signal?.kind !== "DRAIN") frame = await client.json();
  return { client, connection, stopped };
}

async function receivesLate(pair: Pair): Promise<void> {
  pair.way.slow(1_000, Infinity);
  const { client, connection, stopped } = await askedToMove(pair);
  // At once, as for a client that has drawn the first moment of the window.
  const again = await enterAs(pair.staying, pair.issuer, connection);
  assert.equal(again.connection, connection);
  client.socket.close(1000);
  again.client.socket.close(1000);
  assert.equal((await stopped).code, 0, pair.going.log());
}

Deno.test("no client is asked to move before the other Shield knows who may resume", () =>
  withPair(receivesLate));

async function comesTwice(pair: Pair): Promise<void> {
  const { client, connection, stopped } = await askedToMove(pair);
  const first = await enterAs(pair.staying, pair.issuer, connection);
  assert.equal(first.connection, connection);
  first.client.socket.close(4000);
  await first.client.closed();
  const second = await enterAs(pair.staying, pair.issuer, connection);
  assert.equal(second.connection, connection, "the connection before it has ended");
  const third = await enterAs(pair.staying, pair.issuer, connection);
  assert.equal(third.connection, connection, "the one before it has never said anything");
  assert.equal((await second.client.closed()).code, 4408);
  await joins(third.client);
  const fourth = await enterAs(pair.staying, pair.issuer, connection);
  assert.notEqual(fourth.connection, connection, "the one before it is in use");
  for (const { socket } of [client, third.client, fourth.client]) socket.close(1000);
  assert.equal((await stopped).code, 0, pair.going.log());
}

Deno.test("a client that lost its first connection to the other Shield still keeps its id", () =>
  withPair(comesTwice));

async function comesToTheNext(pair: Pair): Promise<void> {
  const { client, connection, stopped } = await askedToMove(pair);
  client.socket.close(1000);
  assert.equal((await stopped).code, 0, pair.going.log());
  await using next = await pair.again();
  const again = await enterAs(next, pair.issuer, connection);
  assert.equal(again.connection, connection);
  again.client.socket.close(1000);
  await again.client.closed();
}

Deno.test("a client that reconnects only to the successor process keeps its id, too", () =>
  withPair(comesToTheNext));

async function isNobodyElse({ issuer, going, staying }: Pair): Promise<void> {
  const stays = await enterAs(staying, issuer);
  const early = await enterAs(going, issuer, stays.connection);
  assert.notEqual(early.connection, stays.connection, "its Shield does not stop");
  await joins(early.client);
  const stopping = going.stop();
  await early.client.closed();
  const thief = await enterAs(staying, issuer, early.connection, "mallory");
  assert.notEqual(thief.connection, early.connection, "another user's");
  const first = await enterAs(staying, issuer, early.connection);
  assert.equal(first.connection, early.connection);
  await joins(first.client);
  const second = await enterAs(staying, issuer, early.connection);
  assert.notEqual(second.connection, early.connection, "it is in use");
  const strange = await enterAs(staying, issuer, "c%0a%2e");
  assert.match(strange.connection, /^c[\w-]+$/);
  await stopping;
  for (const { client } of [stays, early, thief, first, second, strange]) {
    client[Symbol.dispose]();
  }
}

Deno.test("nobody gets the id of another user, of a connection that does not move, or one twice", () =>
  withPair(isNobodyElse, 0));
