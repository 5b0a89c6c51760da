/**
 * What `GET /v1/why` and `arq why` say where a Shield was killed, ended, cut off from NATS or stands still: of messages
 * and connections that it alone knew, of what is left in its ledger's store, and of what a durable room's log knows.
 * Real processes, real NATS.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { ledgerMarkOf } from "./harness/ledger_mark.ts";
import { startNats } from "./harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

/** It writes when the process ends in order, or when it is asked to by time. */
const configOf = (flush_ms: number) => `
[ledger]
store = true
#constant ledger.flush_ms = ${flush_ms}
`;

const SHORT_MS = 50;
const LONG_MS = 60_000;
type Server = Awaited<ReturnType<typeof startServer>>;
const socketOf = ({ ready }: Server) => `${(ready.url ?? "").replace(/^http/, "ws")}/v1/socket`;

async function answered(client: RawClient, operation: object): Promise<void> {
  client.send({ ...operation, id: 1 });
  for (;;) {
    const answer = await client.json();
    if (answer.op === "ack") return assert.equal(answer.code, 0);
  }
}

/** Publishes and waits until the listener has it. */
async function say(client: RawClient, listener: RawClient, message_id: string): Promise<void> {
  client.send({ op: "pub", room: "hall", type: "t", data: {}, message_id });
  for (;;) {
    const heard = await listener.json();
    if (heard.op === "msg") return;
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

Deno.test("a killed Shield's ledger is told up to its last writing, and that the rest is gone", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${configOf(SHORT_MS)}`;
  await using killed = await startServer("shield", config, issuer.dir, 'node_id = "killed"');
  await using other = await startServer("shield", config, issuer.dir, 'node_id = "other"');
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  using bob = await openText(socketOf(killed), await issuer.tokenFor({ sub: "bob" }));
  using ann = await openText(socketOf(other), await issuer.tokenFor({ sub: "ann" }));
  await answered(bob, { op: "sub", room: "hall" });
  await answered(ann, { op: "sub", room: "hall" });
  await say(ann, bob, "m-written");
  // While it lives it answers itself; its store has it as soon as it was written once more.
  assert.deepEqual(wordsOf(await whyOf(other.ready, token, "message_id=m-written&user=bob")), [
    "sent",
  ]);
  const written_ms = Date.now();
  const living = await whyOf(other.ready, token, "user=bob");
  assert.deepEqual(living.former, []);
  await until("it is written", async () => await ledgerMarkOf(nats.url, "killed") > written_ms);
  await killed.stop("SIGKILL");
  const killed_ms = Date.now();
  await answered(ann, { op: "pub", room: "hall", type: "t", data: {}, message_id: "m-late" });
  let answer = await whyOf(other.ready, token, "message_id=m-late&user=bob");
  await until("it is told to be killed", async () => {
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
  const heard = before.messages[0].heard.map((one: Json) => one.node_id);
  assert.deepEqual(heard.toSorted(), ["killed", "other"]);
  const args = ["--admin-url", other.ready.admin_url ?? "", "--token", token];
  const shown = await runArq(["why", "--message-id", "m-late", "--user", "bob", ...args]);
  assert.match(shown.stdout, /this Shield was killed and its ledger of those seconds is gone/);
  const theirs = await whyOf(other.ready, token, "message_id=m-written&user=bob&tenant=other");
  assert.deepEqual([theirs.messages, theirs.connections], [[], []]);
});

Deno.test("a Shield that ends in order leaves its whole ledger to the one that is started next", async () => {
  await using folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const text = await Deno.readTextFile(file);
  const named = text.replace("[server]\n", '[server]\nnode_id = "one"\n');
  await Deno.writeTextFile(file, `${named}${configOf(LONG_MS)}`);
  const token = await tokenOf(folder.path, "admin");
  const { sub: user } = JSON.parse(
    atob(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/")),
  );
  const first = await startServe(folder.path);
  using bob = await openText(first.url, token);
  await answered(bob, { op: "sub", room: "hall" });
  await say(bob, bob, "m-1");
  assert.equal(await first.stop(), 0, first.log());
  const next = await startServe(folder.path);
  const asked = `message_id=m-1&user=${user}`;
  const answer = await whyOf(next, token, asked);
  assert.deepEqual(wordsOf(answer), ["sent"]);
  assert.deepEqual(answer.former.map(({ state }: Json) => state), ["ended"]);
  assert.equal(answer.connections[0].ended.code, 1012);
  // What this one had not written when it was killed is gone, and the next says so at once.
  using again = await openText(next.url, token);
  await answered(again, { op: "sub", room: "hall" });
  await say(again, again, "m-2");
  await next.stop("SIGKILL");
  await using last = await startServe(folder.path);
  const later = await whyOf(last, token, `message_id=m-2&user=${user}`);
  assert.deepEqual(later.former.map(({ state }: Json) => state), ["ended", "killed"]);
  assert.deepEqual(later.messages, []);
  assert.deepEqual(wordsOf(await whyOf(last, token, asked)), ["sent"]);
});

// What `GET /v1/why` and `arq why` say of a message of a durable room that no Shield tells of: the one that heard it
// was killed and nothing of its ledger is stored. A real process, SIGKILL, and NATS.

const adminOf = ({ ready }: Server) => ready["admin_url"] ?? "";

async function heardId(client: RawClient, message_id: string): Promise<void> {
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
  // Somebody else reads the history: what a user has read of it counts as sent.
  using dan = await openText(socketOf(next), await issuer.tokenFor({ sub: "dan" }));
  const { result: { epoch } } = await ask(dan, { op: "cmd", room: "log-1", name: "history.get" });
  bob.send({ op: "sub", room: "log-1", id: 1, after_offset: 1, epoch });
  await heardId(bob, "gone");
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
  await until("it is not under way any more", async () => {
    const { connections: [told] } = await admin.read("/v1/why?user=bob&room=log-1&since_ms=0");
    return told.room.due === 1 && told.room.sent === 1;
  });
  for (const [user, due] of [["cat", 0], ["dan", 2]]) {
    const read = await admin.read(`/v1/why?user=${user}&room=log-1&since_ms=0`);
    const { due: counted, missed } = read.connections[0].room;
    assert.deepEqual([counted, missed], [due, []], `${user}`);
  }
});

// What `GET /v1/why` says of a user in a room when a Shield was killed: real processes and SIGKILL, on NATS. What
// only the killed Shield had heard, others' users should have had; what others heard in its last seconds, its users.

/** Nearer to the ends of a subscription nobody says what was due. */
const UNDER_WAY_MS = 1_000;

async function heard(client: RawClient, what: string): Promise<void> {
  for (;;) {
    const { message_id, signal } = await client.json();
    if (message_id === what || signal?.kind === what) return;
  }
}

const publish = (client: RawClient, message_id: string) =>
  ask(client, { op: "pub", room: "hall", type: "t", data: {}, message_id });

async function waitUntil(at_ms: number): Promise<void> {
  await until("its time has come", () => Date.now() > at_ms);
}

interface Account {
  readonly connections: {
    readonly node_id: string;
    readonly room?: {
      readonly due: number;
      readonly sent: number;
      readonly missed: { readonly outcome: { readonly state: string; readonly why?: string } }[];
    };
  }[];
  readonly former: { readonly state: string }[];
}

/** What the accounts of the user's connections say was due, and the outcome of what was not sent. */
const accountOf = ({ connections }: Account) =>
  connections.map(({ node_id, room }) => ({
    node_id,
    due: room?.due,
    sent: room?.sent,
    missed: room?.missed.map(({ outcome: { state, why = "" } }) => `${state} ${why}`.trim()),
  }));

Deno.test("a user in a room: what a killed Shield alone had heard is due, and what came after its last writing", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(nats.port);
  await using issuer = await createIssuer();
  const start = (node_id: string, port: number) =>
    startServer(
      "shield",
      `${issuer.config}[nats]\nurls = ["nats://127.0.0.1:${port}"]
[ledger]\nstore = true\n#constant ledger.flush_ms = 50\n`,
      issuer.dir,
      `node_id = "${node_id}"\ndrain_ms = 0`,
    );
  await using killed = await start("killed", nats.port);
  await using other = await start("other", proxy.port);
  const root = await issuer.tokenFor({ role: "admin", sub: "root" });
  const admin = new AdminClient(other.ready["admin_url"] ?? "", root);
  using bob = await openText(socketOf(killed), await issuer.tokenFor({ sub: "bob" }));
  using ann = await openText(socketOf(other), await issuer.tokenFor({ sub: "ann" }));
  for (const client of [bob, ann]) await ask(client, { op: "sub", room: "hall" });
  await publish(ann, "both");
  await heard(bob, "both");
  await waitUntil(Date.now() + 2 * UNDER_WAY_MS);
  await proxy.cut();
  await publish(bob, "lost");
  const lost_ms = Date.now();
  proxy.restore();
  await heard(ann, "GAP");
  const path = (user: string) => `/v1/why?user=${user}&room=hall&since_ms=0`;
  // So long that what was lost is not at the end of what was written.
  const is_written = async () =>
    await ledgerMarkOf(nats.url, "killed") > lost_ms + 2 * UNDER_WAY_MS;
  await until("it is written", is_written);
  await killed.stop("SIGKILL");
  const killed_ms = Date.now();
  let told: Account = await admin.read(path("bob"));
  await waitUntil(killed_ms + UNDER_WAY_MS);
  await publish(ann, "late");
  await until("it is not under way any more", async () => {
    told = await admin.read(path("bob"));
    return told.connections[0]?.room?.due === 3;
  });
  const { state = "" } = told.former[0] ?? {};
  assert.ok(state === "silent" || state === "killed", state);
  assert.deepEqual(accountOf(told), [
    { node_id: "killed", due: 3, sent: 2, missed: [`unknown ${state}`] },
  ]);
  assert.deepEqual(accountOf(await admin.read(path("ann"))), [
    { node_id: "other", due: 3, sent: 2, missed: ["not_heard"] },
  ]);
});

// `GET /v1/why` over two Shields, one of which was cut off from a real NATS: what its user should have had, too, is
// found with the other one, and the whole answer comes in time though a Shield stands still.

/** The times by one clock, and the whole answer in time though a Shield stands still. */
async function clocksAndSilence(admin: AdminClient, one: ServerProcess, two: ServerProcess) {
  const { messages, ledgers, here } = await admin.read("/v1/why?message_id=first");
  assert.equal(here, one.ready.node_id);
  for (const { time_ms, here_ms, node_id } of messages[0].heard) {
    const clock = ledgers.find((ledger: { node_id: string }) => ledger.node_id === node_id);
    assert.equal(here_ms, time_ms - clock.ahead_ms);
    // Both are clocks of this machine.
    assert.ok(Math.abs(clock.ahead_ms) <= clock.within_ms + 1, JSON.stringify(clock));
  }
  two.signal("SIGSTOP");
  try {
    const partly = await admin.read("/v1/why?message_id=first&user=ann");
    assert.deepEqual(partly.nodes, {
      answered: [one.ready.node_id],
      silent: [two.ready.node_id],
    });
    assert.equal(partly.connections[0].outcomes[0].state, "sent");
  } finally {
    two.signal("SIGCONT");
  }
}

Deno.test("messages that did not come to a user's Shield are due, and lost on the way", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(nats.port);
  const issuer = await createIssuer();
  const start = (port: number) =>
    startServer(
      "shield",
      `[nats]\nurls = ["nats://127.0.0.1:${port}"]\n${issuer.config}`,
      issuer.dir,
      "drain_ms = 0\n",
      0,
      [],
      'operator_tenants = ["acme"]',
    );
  {
    await using one = await start(nats.port);
    await using two = await start(proxy.port);
    const token = await issuer.tokenFor({ role: "admin", sub: "root" });
    const admin = new AdminClient(one.ready["admin_url"] ?? "", token);
    const known = await admin.until(
      "/v1/cluster",
      "not all are known",
      ({ body }) => body.nodes.length === 2 ? true : undefined,
    );
    assert.equal(known, true);
    const socket = (url = "") => `${url.replace(/^http/, "ws")}/v1/socket`;
    using ann = await openText(socket(one.ready.url), await issuer.tokenFor({ sub: "ann" }));
    using bob = await openText(socket(two.ready.url), await issuer.tokenFor({ sub: "bob" }));
    for (const client of [ann, bob]) await ask(client, { op: "sub", room: "hall" });
    const next = async (what: "t" | "GAP") => {
      for (;;) {
        const frame = await bob.json();
        if ((frame.signal?.kind ?? frame.type) === what) return frame;
      }
    };
    const publish = (message_id: string) =>
      ask(ann, { op: "pub", room: "hall", type: "t", data: 1, message_id });
    await publish("first");
    assert.equal((await next("t")).message_id, "first");
    const subscribed_ms = Date.now();
    await until("it was subscribed before", () => Date.now() > subscribed_ms + 2 * UNDER_WAY_MS);
    await proxy.cut();
    for (const id of ["lost-1", "lost-2"]) await publish(id);
    proxy.restore();
    await next("GAP");
    await publish("last");
    assert.equal((await next("t")).message_id, "last");
    const path = "/v1/why?user=bob&room=hall&since_ms=0";
    let account = { due: 0, sent: 0, missed_count: 0, missed: [], gaps: [] };
    await until("it is not under way any more", async () => {
      // A busy machine's Shield may be late for one answer, and is named there.
      const { connections: [told] } = await admin.read(path);
      account = told?.room ?? account;
      return account.missed_count > 1;
    });
    assert.deepEqual([account.due, account.sent, account.missed_count], [4, 2, 2]);
    assert.ok(account.gaps.length > 0);
    const states = account.missed.map(({ outcome }: { outcome: { state: string } }) =>
      outcome.state
    );
    assert.deepEqual(states, ["not_heard", "not_heard"]);
    await clocksAndSilence(admin, one, two);
  }
  await Deno.remove(issuer.dir, { recursive: true });
});
