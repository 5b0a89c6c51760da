/** A tenant that is deleted and begins again while a Shield is cut off and another is killed. One real NATS. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startLocalShield } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { samplesOf } from "./harness/server_state.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { DurableClient } from "./peers/durable_client.ts";

Deno.test("of a deleted tenant nothing stays and of its successor nothing goes, with a Shield cut off and one killed", async () => {
  await using nats = await startNats({ jetstream: true });
  await using link = startTcpProxy(nats.port);
  await using issuer = await createIssuer();
  const configOf = (url: string) =>
    `[nats]\nurls = ["${url}"]\n${issuer.config}[ledger]\nstore = true\n[journal]\njournal = "all"\n` +
    `#constant journal.flush_ms = 200\n#constant ledger.flush_ms = 200\n`;
  await using two = await startLocalShield(configOf(nats.url));
  await using one = await startLocalShield(configOf(`nats://127.0.0.1:${link.port}`));
  await using killed = await startServer("shield", configOf(nats.url), issuer.dir);
  const connection = await connect({ servers: nats.url });
  await using _end = atEnd(() => connection.close());
  const { streams } = await jetstreamManager(connection);
  /** How many Shields have blocks of the tenant, in the journal and in the ledger. */
  const writers = async () => {
    const found = [];
    for (const stream of ["ARQON_JOURNAL", "ARQON_LEDGER"]) {
      // It is created with the first block.
      const info = await streams.info(stream, { subjects_filter: "*.t.gone.*" }).catch(() => {});
      found.push(Object.keys(info?.state.subjects ?? {}).length);
    }
    return found.join();
  };
  const tenant_id = "gone";
  const token = await issuer.tokenFor({ tenant_id });
  const role = await issuer.tokenFor({ tenant_id, role: "admin" });
  const admin = new AdminClient(two.ready["admin_url"] ?? "", role);
  const set = async () => {
    const { status, text } = await admin.ask("PUT", "/v1/tenants/gone/rooms", {
      room: "kept",
      durable: true,
    });
    assert.equal(status, 200, text);
  };
  const say = async ({ socket_url }: Pick<ServerProcess, "socket_url">, type: string) => {
    const client = await DurableClient.open(socket_url, token);
    client.send({ op: "pub", room: "chat", type, data: 1 });
    return client;
  };
  using client = await say(one, "old");
  using _beside = await say(killed, "old");
  await until("both are stored", async () => await writers() === "2,2");
  await killed.stop("SIGKILL");
  await link.cut();
  client.send({ op: "pub", room: "chat", type: "old", data: 1 });
  const queued = async () =>
    (await samplesOf(one.ready["ops_url"])).get("shield_journal_queue_bytes") ?? 0;
  await until("it is queued", async () => await queued() > 0);
  const deleted = await admin.ask("POST", "/v1/data/erase", { tenant: tenant_id, all: true });
  assert.equal(deleted.status, 200, deleted.text);
  assert.equal(await writers(), "0,0");
  // Of the tenant's settings, a Shield that is cut off receives only the successor's.
  await set();
  using _successor = await say(two, "new");
  await until("the successor is stored", async () => await writers() === "1,1");
  link.restore();
  await until("the queue is empty", async () => await queued() === 0);
  await until("it lets clients in", async () => {
    const response = await fetch(`${one.ready["ops_url"]}/health/ready`);
    await response.body?.cancel();
    return response.ok;
  });
  using _back = await say(one, "new");
  await until("its Shields have both stored it", async () => await writers() === "2,2");
  const { text } = await admin.ask("GET", `/v1/journal?tenant=${tenant_id}`);
  assert.deepEqual(text.match(/"type":"\w+"/g), ['"type":"new"', '"type":"new"'], text);
});
