/**
 * What `GET /v1/why` and `arq why` say of a message of a durable room that no Shield tells of: the one that heard it was
 * killed and nothing of its ledger is stored. A real process, SIGKILL, and NATS.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText, type RawClient } from "./peers/raw_client.ts";

type Server = Awaited<ReturnType<typeof startServer>>;
const socketOf = ({ ready }: Server) => `${(ready.url ?? "").replace(/^http/, "ws")}/v1/socket`;
const adminOf = ({ ready }: Server) => ready["admin_url"] ?? "";

async function heard(client: RawClient, message_id: string): Promise<void> {
  while ((await client.json()).message_id !== message_id);
}

Deno.test("a durable room's log tells of a message that no Shield tells of", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]
[[rooms]]\nroom = "log-*"\ndurable = true\n`;
  const start = (node_id: string) =>
    startServer("shield", config, issuer.dir, `node_id = "${node_id}"\ndrain_ms = 0`);
  {
    await using killed = await start("killed");
    using ann = await openText(socketOf(killed), await issuer.tokenFor({ sub: "ann" }));
    await ask(ann, { op: "sub", room: "log-1" });
    for (const message_id of ["before", "gone"]) {
      await ask(ann, { op: "pub", room: "log-1", type: "t", data: 1, message_id });
    }
    await killed.stop("SIGKILL");
  }
  await using next = await start("next");
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const admin = new AdminClient(adminOf(next), token);
  using bob = await openText(socketOf(next), await issuer.tokenFor({ sub: "bob" }));
  using cat = await openText(socketOf(next), await issuer.tokenFor({ sub: "cat" }));
  bob.send({ op: "sub", room: "log-1", id: 1, after_offset: 1 });
  await heard(bob, "gone");
  await ask(cat, { op: "sub", room: "log-1" });
  const by_offset = "/v1/why?room=log-1&offset=2";
  const { messages: [message], connections } = await admin.read(`${by_offset}&user=bob`);
  assert.deepEqual([message.message_id, message.heard, message.duplicate], ["gone", [], false]);
  assert.ok(message.stored_ms > 0 && message.twist_id !== "" && message.trace_id !== "");
  assert.equal(connections[0].outcomes[0].state, "caught_up");
  const late = await admin.read(`${by_offset}&user=cat`);
  assert.equal(late.connections[0].outcomes[0].state, "not_connected");
  assert.deepEqual((await admin.read("/v1/why?room=log-1&offset=3")).messages, []);
  assert.deepEqual((await admin.read(`${by_offset}&tenant=other`)).messages, []);
  const args = ["--admin-url", adminOf(next), "--token", token];
  const shown = await runArq(["why", "--room", "log-1", "--offset", "2", ...args]);
  assert.match(shown.stdout, /in the room's log .*; no Shield tells of it/);
  // What one has recovered was due, though no ledger that is there has heard of it.
  await until("it is no more under way", async () => {
    const { connections: [told] } = await admin.read("/v1/why?user=bob&room=log-1&since_ms=0");
    return told.room.due === 1 && told.room.sent === 1;
  });
  const { connections: [told] } = await admin.read("/v1/why?user=cat&room=log-1&since_ms=0");
  assert.deepEqual([told.room.due, told.room.missed], [0, []]);
});
