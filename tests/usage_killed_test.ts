/**
 * The usage ledger and a start that fails, which does not count as a kill. The focus `usage` of `walks/` covers kills
 * under load.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText } from "./peers/raw_client.ts";
import { AdminClient } from "./peers/admin_client.ts";

/** A NATS whose user must not create the bucket of bans, which a Shield opens after most others. */
const DENIED =
  `authorization { users = [ { user: "u", password: "p", permissions: { publish: { deny: [
  "$JS.API.STREAM.*.KV_ARQON_BANS" ] } } } ] }`;
const ALLOWED = 'authorization { users = [ { user: "u", password: "p" } ] }';

Deno.test("usage: a failed start has counted nothing, and is not reported as lost", async () => {
  await using nats = await startNats({ jetstream: true, config: DENIED });
  await using issuer = await createIssuer();
  const url = nats.url.replace("//", "//u:p@");
  const config = `${issuer.config}[nats]\nurls = ["${url}"]\nrequest_timeout_ms = 1000\n` +
    "[usage]\nenabled = true\n#constant usage.flush_ms = 50\n";
  const start = () => startServer("shield", config, issuer.dir, 'node_id = "one"');
  await assert.rejects(start(), /KV_ARQON_BANS|ARQON_BANS/);
  await nats.reload(ALLOWED);
  await using one = await start();
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const admin = new AdminClient(one.ready.admin_url ?? "", token);
  using client = await openText(one.socket_url, await issuer.tokenFor());
  client.send({ op: "pub", room: "a", type: "t", id: 1 });
  const ask = () => admin.read("/v1/usage?by=node");
  await until("it is counted", async () => (await ask()).total.messages_in === 1);
  assert.deepEqual((await ask()).lost, []);
});
