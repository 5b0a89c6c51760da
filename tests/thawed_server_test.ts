/**
 * Signals of backends while a server of a NATS cluster stalls for some seconds: a client that returned after a
 * DISCONNECT is not disconnected by it again. Real servers and Shields. The focus `plain` of `walks/` covers messages
 * meanwhile.
 */
import assert from "node:assert/strict";
import { connect, type NatsConnection } from "@nats-io/transport-deno";
import { atEnd } from "../shared/testing/at_end.ts";
import { insist, until } from "../shared/testing/until.ts";
import { createIssuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startNatsCluster } from "./harness/nats_cluster.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";

/** NATS delivers each to one of the Shields: some are for the one behind the stopped server. */
const SIGNALS = 300;

/** For the backlog of the server that continues. */
const QUIET_MS = 3_000;

/** Connects once the Shield knows the bans again. */
function entered(url: string, token: string): Promise<RawClient> {
  return insist("the Shield lets somebody in", () => openText(url, token));
}

async function putOut(backend: NatsConnection, target: string, count: number): Promise<void> {
  const signal = JSON.stringify({ signal: { kind: "DISCONNECT", target } });
  for (let number = 0; number < count; number++) backend.publish("sys.t.acme.signals", signal);
  await backend.flush();
}

Deno.test("a server of the cluster that is stopped and continues disconnects nobody twice", async () => {
  await using nats = await startNatsCluster();
  await using issuer = await createIssuer();
  const urls = nats.urls;
  const [, frozen] = nats.members;
  const config = (at: number) => `${issuer.config}\n[nats]\nurls = ["${urls[at]}"]\n`;
  // A server without Shields, so that it chooses among those of other servers.
  const backend = await connect({ servers: urls[0]!.replace("nats://", "") });
  await using _end = atEnd(() => backend.close());
  await using behind = await startServer("shield", config(1), issuer.dir, "drain_ms = 0");
  await using beside = await startServer("shield", config(2), issuer.dir, "drain_ms = 0");
  const enter = async (shield: ServerProcess, sub: string) =>
    await entered(shield.socket_url, await issuer.tokenFor({ sub }));
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
  // Each still receives new signals, once.
  await putOut(backend, "dora", 1);
  for (const client of clients) {
    assert.equal((await client.json()).signal.kind, "DISCONNECT");
    assert.equal((await client.json()).reason, "disconnected");
    assert.equal((await client.closed()).code, 1008);
  }
});
