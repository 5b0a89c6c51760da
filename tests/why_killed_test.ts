/**
 * `GET /v1/why` and `arq why` about a Shield that was killed, ended, disconnected from NATS or stalled: messages and
 * connections that only it knew, the rest in its ledger's store, and the log of a durable room. Real processes, real
 * NATS.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { ledgerMarkOf } from "./harness/ledger_mark.ts";
import { startNats } from "./harness/nats_server.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText, type RawClient } from "./peers/raw_client.ts";

/** It flushes at an orderly end, or when its interval has passed. */
const configOf = (flush_ms: number) => `
[ledger]
store = true
#constant ledger.flush_ms = ${flush_ms}
`;

const SHORT_MS = 50;
type Server = Awaited<ReturnType<typeof startServer>>;
/** Publishes and waits until the listener has received it. */
async function say(client: RawClient, listener: RawClient, message_id: string): Promise<void> {
  client.send({ op: "pub", room: "hall", type: "t", data: {}, message_id });
  for (;;) {
    const frame = await listener.json();
    if (frame.op === "msg") return;
  }
}

// deno-lint-ignore no-explicit-any -- JSON of the admin API
type Json = any;

async function whyOf(
  { admin_url = "" }: { readonly admin_url?: string },
  token: string,
  query: string,
): Promise<Json> {
  const answer = await fetch(`${admin_url}/v1/why?${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(answer.status, 200);
  return await answer.json();
}

const wordsOf = ({ connections }: Json): string[] =>
  connections.flatMap(({ outcomes }: Json) =>
    outcomes.map(({ state, why = "" }: Json) => `${state} ${why}`.trim())
  );

Deno.test("a killed Shield's ledger is shown up to its last flush, and that the rest is lost", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${configOf(SHORT_MS)}`;
  await using killed = await startServer("shield", config, issuer.dir, 'node_id = "killed"');
  await using other = await startServer("shield", config, issuer.dir, 'node_id = "other"');
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  using bob = await openText(killed.socket_url, await issuer.tokenFor({ sub: "bob" }));
  using ann = await openText(other.socket_url, await issuer.tokenFor({ sub: "ann" }));
  await ask(bob, { op: "sub", room: "hall" });
  await ask(ann, { op: "sub", room: "hall" });
  await say(ann, bob, "m-written");
  // While it lives it answers itself; its store has it after the next flush.
  assert.deepEqual(wordsOf(await whyOf(other.ready, token, "message_id=m-written&user=bob")), [
    "sent",
  ]);
  const written_ms = Date.now();
  const living = await whyOf(other.ready, token, "user=bob");
  assert.deepEqual(living.former, []);
  await until("it is written", async () => await ledgerMarkOf(nats.url, "killed") > written_ms);
  await killed.stop("SIGKILL");
  const killed_ms = Date.now();
  await ask(ann, { op: "pub", room: "hall", type: "t", data: {}, message_id: "m-late" });
  let answer = await whyOf(other.ready, token, "message_id=m-late&user=bob");
  await until("it is reported as killed", async () => {
    answer = await whyOf(other.ready, token, "message_id=m-late&user=bob");
    return answer.former[0]?.state === "killed";
  });
  assert.deepEqual(wordsOf(answer), ["unknown killed"]);
  await until("it is not waited for any more", async () => {
    const { nodes } = await whyOf(other.ready, token, "message_id=m-late&user=bob");
    return nodes.silent.length === 0;
  });
  const [{ lost, node_id }] = answer.connections;
  assert.equal(node_id, "killed");
  assert.ok(
    lost.until_ms >= written_ms && lost.until_ms <= killed_ms + 1_000,
    JSON.stringify(lost),
  );
  const before = await whyOf(other.ready, token, "message_id=m-written&user=bob");
  assert.deepEqual(wordsOf(before), ["sent"]);
  const nodes = before.messages[0].heard.map((one: Json) => one.node_id);
  assert.deepEqual(nodes.toSorted(), ["killed", "other"]);
  const args = ["--admin-url", other.ready.admin_url ?? "", "--token", token];
  const shown = await runArq(["why", "--message-id", "m-late", "--user", "bob", ...args]);
  assert.match(shown.stdout, /this Shield was killed and its ledger of those seconds is lost/);
  const theirs = await whyOf(other.ready, token, "message_id=m-written&user=bob&tenant=other");
  assert.deepEqual([theirs.messages, theirs.connections], [[], []]);
});

// The answer of `GET /v1/why` and `arq why` about a message of a durable room that no Shield reports: the one that
// received it was killed and nothing of its ledger is stored. A real process, SIGKILL, and NATS.

const adminOf = ({ ready }: Server) => ready["admin_url"] ?? "";

async function receivesId(client: RawClient, message_id: string): Promise<void> {
  while ((await client.json()).message_id !== message_id);
}

Deno.test("a durable room's log reports a message that no Shield reports", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]
[[rooms]]\nroom = "log-*"\ndurable = true\n`;
  const start = (node_id: string) =>
    startServer("shield", config, issuer.dir, `node_id = "${node_id}"\ndrain_ms = 0`);
  {
    await using killed = await start("killed");
    using ann = await openText(killed.socket_url, await issuer.tokenFor({ sub: "ann" }));
    await ask(ann, { op: "sub", room: "log-1" });
    for (const message_id of ["before", "gone"]) {
      await ask(ann, { op: "pub", room: "log-1", type: "t", data: 1, message_id });
    }
    await killed.stop("SIGKILL");
  }
  await using next = await start("next");
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const admin = new AdminClient(adminOf(next), token);
  using bob = await openText(next.socket_url, await issuer.tokenFor({ sub: "bob" }));
  using cat = await openText(next.socket_url, await issuer.tokenFor({ sub: "cat" }));
  // Another user reads the history: what a user has read of it counts as sent.
  using dan = await openText(next.socket_url, await issuer.tokenFor({ sub: "dan" }));
  const { result: { epoch } } = await ask(dan, { op: "cmd", room: "log-1", name: "history.get" });
  bob.send({ op: "sub", room: "log-1", id: 1, after_offset: 1, epoch });
  await receivesId(bob, "gone");
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
  assert.match(shown.stdout, /in the room's log .*; no Shield's ledger has it/);
  // A recovered message was due, though no available ledger has it.
  await until("it is not under way any more", async () => {
    const { connections: [connection] } = await admin.read(
      "/v1/why?user=bob&room=log-1&since_ms=0",
    );
    return connection.room.due === 1 && connection.room.sent === 1;
  });
  for (const [user, due] of [["cat", 0], ["dan", 2]]) {
    const read = await admin.read(`/v1/why?user=${user}&room=log-1&since_ms=0`);
    const { due: counted, missed } = read.connections[0].room;
    assert.deepEqual([counted, missed], [due, []], `${user}`);
  }
});
