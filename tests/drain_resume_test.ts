/**
 * Connections that keep their id when a Shield ends in spite of faults: the other Shield is notified late, or a
 * client's first connection there is lost. `drain_test.ts` tests the drain itself.
 */
import assert from "node:assert/strict";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startTcpProxy, type TcpProxy } from "./harness/tcp_proxy.ts";
import { ask, RawClient } from "./peers/raw_client.ts";

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
async function enter({ socket_url }: ServerProcess, issuer: Issuer, resume = "", sub = "ann") {
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
  const { client, connection } = await enter(going, issuer);
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
  const again = await enter(pair.staying, pair.issuer, connection);
  assert.equal(again.connection, connection);
  client.socket.close(1000);
  again.client.socket.close(1000);
  assert.equal((await stopped).code, 0, pair.going.log());
}

Deno.test("no client is asked to move before the other Shield knows who may resume", () =>
  withPair(receivesLate));

async function comesTwice(pair: Pair): Promise<void> {
  const { client, connection, stopped } = await askedToMove(pair);
  const first = await enter(pair.staying, pair.issuer, connection);
  assert.equal(first.connection, connection);
  first.client.socket.close(4000);
  await first.client.closed();
  const second = await enter(pair.staying, pair.issuer, connection);
  assert.equal(second.connection, connection, "the connection before it has ended");
  const third = await enter(pair.staying, pair.issuer, connection);
  assert.equal(third.connection, connection, "the one before it has never said anything");
  assert.equal((await second.client.closed()).code, 4408);
  await joins(third.client);
  const fourth = await enter(pair.staying, pair.issuer, connection);
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
  const again = await enter(next, pair.issuer, connection);
  assert.equal(again.connection, connection);
  again.client.socket.close(1000);
  await again.client.closed();
}

Deno.test("a client that reconnects only to the successor process keeps its id, too", () =>
  withPair(comesToTheNext));

async function isNobodyElse({ issuer, going, staying }: Pair): Promise<void> {
  const stays = await enter(staying, issuer);
  const early = await enter(going, issuer, stays.connection);
  assert.notEqual(early.connection, stays.connection, "its Shield does not stop");
  await joins(early.client);
  const stopping = going.stop();
  await early.client.closed();
  const thief = await enter(staying, issuer, early.connection, "mallory");
  assert.notEqual(thief.connection, early.connection, "another user's");
  const first = await enter(staying, issuer, early.connection);
  assert.equal(first.connection, early.connection);
  await joins(first.client);
  const second = await enter(staying, issuer, early.connection);
  assert.notEqual(second.connection, early.connection, "it is in use");
  const strange = await enter(staying, issuer, "c%0a%2e");
  assert.match(strange.connection, /^c[\w-]+$/);
  await stopping;
  for (const { client } of [stays, early, thief, first, second, strange]) {
    client[Symbol.dispose]();
  }
}

Deno.test("nobody gets the id of another user, of a connection that does not move, or one twice", () =>
  withPair(isNobodyElse, 0));
