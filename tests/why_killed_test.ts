/**
 * What readers see of a Shield that was killed, ended, disconnected from NATS or stalled: `GET /v1/why` and `arq why`
 * about messages and connections that only it knew, holes of the journal, and usage, for which a start that fails is
 * no kill. Real processes, real NATS. The focus `usage` of `walks/` covers kills under load.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText, type RawClient } from "./peers/raw_client.ts";
import { configFrom } from "../shared/config/load.ts";
import { isHole, type JournalHole } from "../shared/journal/record.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { openSpine } from "../shared/spine/open.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { Lives } from "../shared/lives/lives.ts";
import { testLog } from "../shared/testing/logs.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "./harness/serve_bus.ts";

/** It flushes at an orderly end, or when its interval has passed. */
const configOf = (flush_ms: number) => `
[ledger]
store = true
#constant ledger.flush_ms = ${flush_ms}
`;

/** Up to which time that Shield's ledger is stored, in Unix ms, by the bucket of lives; 0: nothing is stored. */
async function ledgerMarkOf(nats_url: string, node_id: string): Promise<number> {
  const spine = await openSpine(configFrom({ nats: { urls: [nats_url] } }), { log, now: Date.now });
  await using _end = atEnd(() => spine.drain());
  const lives = await new Lives(spine).all();
  return lives.find((one) => one.node_id === node_id)?.parts.ledger?.until_ms ?? 0;
}

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

const adminOf = ({ ready }: Server) => ready["admin_url"] ?? "";

// deno-lint-ignore no-explicit-any -- JSON of the admin API
type Json = any;

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
  const admin = new AdminClient(adminOf(other), token);
  const why = (query: string): Promise<Json> => admin.read(`/v1/why?${query}`);
  using bob = await openText(killed.socket_url, await issuer.tokenFor({ sub: "bob" }));
  using ann = await openText(other.socket_url, await issuer.tokenFor({ sub: "ann" }));
  await ask(bob, { op: "sub", room: "hall" });
  await ask(ann, { op: "sub", room: "hall" });
  await say(ann, bob, "m-written");
  // While it lives it answers itself; its store has it after the next flush.
  assert.deepEqual(wordsOf(await why("message_id=m-written&user=bob")), ["sent"]);
  const written_ms = Date.now();
  const living = await why("user=bob");
  assert.deepEqual(living.former, []);
  await until("it is written", async () => await ledgerMarkOf(nats.url, "killed") > written_ms);
  await killed.stop("SIGKILL");
  const killed_ms = Date.now();
  await ask(ann, { op: "pub", room: "hall", type: "t", data: {}, message_id: "m-late" });
  let answer = await why("message_id=m-late&user=bob");
  await until("it is reported as killed", async () => {
    answer = await why("message_id=m-late&user=bob");
    return answer.former[0]?.state === "killed";
  });
  assert.deepEqual(wordsOf(answer), ["unknown killed"]);
  await until("it is not waited for any more", async () => {
    const { nodes } = await why("message_id=m-late&user=bob");
    return nodes.silent.length === 0;
  });
  const [{ lost, node_id }] = answer.connections;
  assert.equal(node_id, "killed");
  assert.ok(
    lost.until_ms >= written_ms && lost.until_ms <= killed_ms + 1_000,
    JSON.stringify(lost),
  );
  const before = await why("message_id=m-written&user=bob");
  assert.deepEqual(wordsOf(before), ["sent"]);
  const nodes = before.messages[0].heard.map((one: Json) => one.node_id);
  assert.deepEqual(nodes.toSorted(), ["killed", "other"]);
  const args = ["--admin-url", adminOf(other), "--token", token];
  const shown = await runArq(["why", "--message-id", "m-late", "--user", "bob", ...args]);
  assert.match(shown.stdout, /this Shield was killed and its ledger of those seconds is lost/);
  const theirs = await why("message_id=m-written&user=bob&tenant=other");
  assert.deepEqual([theirs.messages, theirs.connections], [[], []]);
});

// The answer of `GET /v1/why` and `arq why` about a message of a durable room that no Shield reports: the one that
// received it was killed and nothing of its ledger is stored. A real process, SIGKILL, and NATS.

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

const log = testLog();

/** The folder of a bus on that NATS server, which journals every decision and stores none for a minute. */
async function folderOn(nats_url: string, node_id = "shield-1") {
  const folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const config = (await Deno.readTextFile(file)).replace("\ndata_dir =", "\n# data_dir =")
    .replace("[server]\n", `[server]\nnode_id = "${node_id}"\n`);
  const journal = '[journal]\njournal = "all"\n#constant journal.flush_ms = 60_000\n';
  const nats = `[nats]\nurls = [${JSON.stringify(nats_url)}]\n`;
  await Deno.writeTextFile(file, `${config}\n${journal}${nats}`);
  return folder;
}

async function send(bus: ServedBus, token: string, message_id: string): Promise<void> {
  using client = await openText(bus.url, token);
  await ask(client, { op: "pub", room: "lobby", type: "chat", data: {}, message_id });
}

async function journalOf(bus: ServedBus, token: string) {
  const lines = await new AdminClient(bus.admin_url, token).journal("default");
  const holes = lines.filter(isHole);
  const ids = lines.flatMap((line) => isHole(line) ? [] : line.message_id ?? []);
  return { holes: holes.map(({ hole }) => hole), ids };
}

/** The number of known runs of Shields that write a journal. */
const marksIn = async (spine: Spine): Promise<number> =>
  (await new Lives(spine).all()).filter(({ parts }) => parts.journal !== undefined).length;

Deno.test("journal: a Shield that is killed leaves a hole, and an orderly stop leaves none", async () => {
  await using nats = await startNats({ jetstream: true });
  await using folder = await folderOn(nats.url);
  const token = await tokenOf(folder.path, "admin");
  const spine = await openSpine(configFrom({ nats: { urls: [nats.url] } }), { log, now: Date.now });
  await using _end = atEnd(() => spine.drain());
  const marks = () => marksIn(spine);
  const began_ms = Date.now();
  await using killed = await startServe(folder.path);
  await send(killed, token, "m-lost");
  await until("its mark is stored", async () => await marks() === 1);
  await killed.stop("SIGKILL");
  const killed_ms = Date.now();
  await using ended = await startServe(folder.path);
  const again_ms = Date.now();
  await send(ended, token, "m-kept");
  await until("its mark is stored", async () => await marks() === 2);
  assert.equal(await ended.stop(), 0, ended.log());
  await using reader = await startServe(folder.path);
  const { holes, ids } = await journalOf(reader, token);
  assert.deepEqual(ids, ["m-kept"]);
  assert.deepEqual(holes.map(({ node, tenant, records, why }) => [node, tenant, records, why]), [
    ["shield-1", "default", null, "killed"],
  ]);
  const [{ from_ms, to_ms }] = holes as [JournalHole["hole"]];
  assert(from_ms >= began_ms - 1_000 && from_ms <= killed_ms, `from ${from_ms}`);
  assert(to_ms >= killed_ms && to_ms <= again_ms, `to ${to_ms}, its successor at ${again_ms}`);
});

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
