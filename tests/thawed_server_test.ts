/**
 * A server of a NATS cluster that stops for some seconds and goes on: what it had not handed on comes then. Real servers,
 * Shields and Brains.
 */
import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-deno";
import type { NatsConnection } from "@nats-io/transport-deno";
import { pace } from "../shared/testing/pace.ts";
import { insist, until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { startNatsCluster } from "./harness/nats_cluster.ts";
import { openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

// Subscribers on other servers hear each message once and in order; those on that server hear of every hole.

const FROZEN_MS = 6_000;

/** Between two messages of a publisher. */
const PACE_MS = 2;

const LAST = "last";

/** What one subscriber heard: of each publisher the numbers, in order; -1 is a GAP, for all of them. */
type Heard = Map<string, number[]>;

/** Reads until the last message of every publisher is there, or the connection ends. */
async function hear(client: RawClient, publishers: readonly string[]): Promise<Heard> {
  const heard: Heard = new Map(publishers.map((name) => [name, []]));
  const open = new Set(publishers);
  while (open.size > 0) {
    const frame = await client.json();
    if (frame.signal?.kind === "GAP") { for (const list of heard.values()) list.push(-1); }
    if (frame.op !== "msg" || frame.data === undefined) continue;
    const { by, number } = frame.data;
    if (number === LAST) open.delete(by);
    else heard.get(by)?.push(number);
  }
  return heard;
}

function assertOrdered(list: readonly number[], who: string): void {
  let last = -1;
  let told = false;
  for (const number of list) {
    if (number === -1) {
      told = true;
      continue;
    }
    assert.ok(number > last, `${who}: ${number} behind ${last}`);
    assert.ok(number === last + 1 || told, `${who}: ${number} follows ${last} without a GAP`);
    last = number;
    told = false;
  }
}

Deno.test("a server of the cluster that stops and goes on repeats nothing and reorders nothing", async () => {
  await using nats = await startNatsCluster('http: "127.0.0.1:-1"');
  const issuer = await createIssuer();
  const config = (at: number) =>
    `${issuer.config}\n[nats]\nurls = ["${nats.urls[at]}"]\n[brain]\ntap = true\n`;
  try {
    await using brains = new AsyncDisposableStack();
    for (const at of [0, 1, 2]) {
      brains.use(await startServer("brain", config(at), issuer.dir, `node_id = "brain-${at}"`));
    }
    const shields = new AsyncDisposableStack();
    await using _shields = shields;
    const urls: string[] = [];
    for (const at of [0, 2]) {
      const shield = await startServer("shield", config(at), issuer.dir, "drain_ms = 0");
      shields.use(shield);
      urls.push(`${shield.ready["url"]?.replace(/^http/, "ws")}/v1/socket`);
    }
    const names = ["one", "other"];
    const tokens = await Promise.all(names.map((sub) => issuer.tokenFor({ sub })));
    const listeners = await Promise.all(urls.map((url, at) => openText(url, tokens[at]!)));
    for (const listener of listeners) {
      listener.send({ op: "sub", room: "plain", id: 1 });
      assert.equal((await listener.json()).code, 0);
    }
    const publishers = await Promise.all(urls.map((url, at) => openText(url, tokens[at]!)));
    const hearing = listeners.map((listener) => hear(listener, names));
    let over = false;
    const publishing = publishers.map(async (publisher, at) => {
      const send = (number: number | string) =>
        publisher.send({ op: "pub", room: "plain", data: { by: names[at], number } });
      for (let number = 0; !over; number++) {
        send(number);
        await pace(PACE_MS);
      }
      send(LAST);
    });
    const [, frozen] = nats.members;
    await frozen?.freeze();
    await pace(FROZEN_MS);
    frozen?.resume();
    await pace(FROZEN_MS);
    over = true;
    await Promise.all(publishing);
    for (const [at, heard] of (await Promise.all(hearing)).entries()) {
      for (const [name, list] of heard) {
        assert.ok(list.length > 100, `listener ${at} heard ${list.length} of ${name}`);
        assertOrdered(list, `listener ${at} of ${name}`);
      }
    }
    for (const client of [...listeners, ...publishers]) client[Symbol.dispose]();
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});

// Signals of backends while a server of a NATS cluster stops for some seconds and goes on: nobody who returned after
// a DISCONNECT is put out by it again. Real servers and Shields.

/** NATS leaves each to one of the Shields: some are for the one behind the server that stands still. */
const SIGNALS = 300;

/** For what the server that goes on again has kept. */
const QUIET_MS = 3_000;

const socketUrl = ({ ready }: ServerProcess) => `${ready["url"]?.replace(/^http/, "ws")}/v1/socket`;

/** Once the Shield knows again who is banned. */
function entered(url: string, token: string): Promise<RawClient> {
  return insist("the Shield lets somebody in", () => openText(url, token));
}

async function putOut(backend: NatsConnection, target: string, count: number): Promise<void> {
  const signal = JSON.stringify({ signal: { kind: "DISCONNECT", target } });
  for (let number = 0; number < count; number++) backend.publish("sys.t.acme.signals", signal);
  await backend.flush();
}

Deno.test("a server of the cluster that stops and goes on puts nobody out twice", async () => {
  await using nats = await startNatsCluster();
  const issuer = await createIssuer();
  const [urls, [, frozen]] = [nats.urls, nats.members];
  const config = (at: number) => `${issuer.config}\n[nats]\nurls = ["${urls[at]}"]\n`;
  // Where no Shield is, so that the server chooses among those of others.
  const backend = await connect({ servers: urls[0]!.replace("nats://", "") });
  try {
    await using behind = await startServer("shield", config(1), issuer.dir, "drain_ms = 0");
    await using beside = await startServer("shield", config(2), issuer.dir, "drain_ms = 0");
    const enter = async (shield: ServerProcess, sub: string) =>
      await entered(socketUrl(shield), await issuer.tokenFor({ sub }));
    const eve = await enter(beside, "eve");
    await frozen?.freeze();
    await putOut(backend, "dora", SIGNALS);
    await putOut(backend, "eve", 1);
    assert.equal((await eve.closed()).code, 1008, "the other Shield has heard all of them");
    await until("it leaves the server", () => behind.log().includes("connection to NATS is back"));
    const clients = await Promise.all([behind, beside].map((shield) => enter(shield, "dora")));
    frozen?.resume();
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    for (const client of clients) {
      client.send({ op: "ping" });
      assert.equal((await client.json()).op, "pong", "put out by what was over");
    }
    // Each still hears what comes now, once.
    await putOut(backend, "dora", 1);
    for (const client of clients) {
      assert.equal((await client.json()).signal.kind, "DISCONNECT");
      assert.equal((await client.json()).reason, "disconnected");
      assert.equal((await client.closed()).code, 1008);
    }
  } finally {
    await backend.close();
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
