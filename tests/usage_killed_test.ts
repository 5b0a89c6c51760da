/**
 * The ledger of use while a Shield is killed again and again under load: what lives counts to the unit, and of
 * what was killed only what it had not written is missing, which is told. A start that fails is no kill.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";

const KILLS = 3;
/** So many of a life are to be written before it is killed. */
const WRITTEN = 40;

/** Publishes one after the other until told to end, or until the connection ends. */
function talk(client: RawClient, room: string) {
  const counts = { sent: 0, acked: 0 };
  let is_over = false;
  const over = (async () => {
    while (!is_over) {
      counts.sent++;
      client.send({ op: "pub", room, type: "t", id: counts.sent });
      for (;;) {
        const answer = await client.json();
        if (answer.op !== "ack") continue;
        assert.equal(answer.code, 0);
        break;
      }
      counts.acked++;
    }
  })().catch((error: unknown) => {
    if (!String(error).includes("the connection ended")) throw error;
  });
  const end = async () => {
    is_over = true;
    await over;
  };
  return { counts, end, over };
}

const socketOf = ({ ready }: ServerProcess) => `${ready.url?.replace(/^http/, "ws")}/v1/socket`;

Deno.test("usage: under kills only what a killed Shield had not written is missing, and it is told", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n` +
    "[usage]\nenabled = true\nflush_ms = 50\n";
  const start = (node: string) => startServer("shield", config, issuer.dir, `node_id = "${node}"`);
  await using calm = await start("calm");
  const token = await issuer.tokenFor();
  const admin = await issuer.tokenFor({ role: "admin", sub: "root" });
  const ask = async () => {
    const headers = { authorization: `Bearer ${admin}` };
    return await (await fetch(`${calm.ready.admin_url}/v1/usage?by=node`, { headers })).json();
  };
  const countedBy = async (node: string): Promise<number> => {
    const { rows } = await ask();
    return rows.find((row: { node: string }) => row.node === node)?.messages_in ?? 0;
  };
  using steady = await openText(socketOf(calm), token);
  const steadily = talk(steady, "steady");
  let [sent, written] = [0, 0];
  for (let life = 0; life < KILLS; life++) {
    await using victim = await start("victim");
    using client = await openText(socketOf(victim), token);
    const talking = talk(client, "victim");
    await until(
      "some of it is written",
      async () => await countedBy("victim") >= written + WRITTEN,
    );
    await victim.stop("SIGKILL");
    await talking.over;
    written = await countedBy("victim");
    sent += talking.counts.sent;
    assert.ok(written <= sent, `${written} were counted of ${sent}`);
  }
  await using _last = await start("victim");
  await steadily.end();
  const { acked } = steadily.counts;
  await until("the living one counts to the unit", async () => await countedBy("calm") === acked);
  let answer = await ask();
  await until("every kill is told", async () => (answer = await ask()).lost.length === KILLS);
  const nodes = answer.lost.map((one: { node_id: string }) => one.node_id);
  assert.deepEqual(nodes, Array(KILLS).fill("victim"));
  // What was written stays, once; a writing may still have been on its way when its Shield was killed.
  const kept = await countedBy("victim");
  assert.ok(written <= kept && kept <= sent, `${written} <= ${kept} <= ${sent}`);
  assert.equal((await ask()).total.messages_in, acked + kept);
});

/** NATS whose user may not make the bucket of bans, which a Shield opens when most of it is there. */
const DENIED =
  `authorization { users = [ { user: "u", password: "p", permissions: { publish: { deny: [
  "$JS.API.STREAM.*.KV_ARQON_BANS" ] } } } ] }`;
const ALLOWED = 'authorization { users = [ { user: "u", password: "p" } ] }';

Deno.test("usage: a start that fails has counted nothing, and is not told as lost", async () => {
  await using nats = await startNats({ jetstream: true, config: DENIED });
  await using issuer = await createIssuer();
  const url = nats.url.replace("//", "//u:p@");
  const config = `${issuer.config}[nats]\nurls = ["${url}"]\nrequest_timeout_ms = 1000\n` +
    "[usage]\nenabled = true\nflush_ms = 50\n";
  const start = () => startServer("shield", config, issuer.dir, 'node_id = "one"');
  await assert.rejects(start(), /KV_ARQON_BANS|ARQON_BANS/);
  await nats.reload(ALLOWED);
  await using one = await start();
  const admin = await issuer.tokenFor({ role: "admin", sub: "root" });
  using client = await openText(socketOf(one), await issuer.tokenFor());
  client.send({ op: "pub", room: "a", type: "t", id: 1 });
  const ask = async () => {
    const headers = { authorization: `Bearer ${admin}` };
    return await (await fetch(`${one.ready.admin_url}/v1/usage?by=node`, { headers })).json();
  };
  await until("it is counted", async () => (await ask()).total.messages_in === 1);
  assert.deepEqual((await ask()).lost, []);
});
