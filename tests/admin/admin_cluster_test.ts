/**
 * The admin API over two Shields and a Brain, each a process, on a real NATS with the accounts of docs/run_nats.md: one
 * Shield shows and changes what concerns all of them.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { KEPT_ROOMS, ROOM_STEPS } from "./admin_rooms_steps.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { startNats } from "../harness/nats_server.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { ask, openText, type RawClient } from "../peers/raw_client.ts";

/** The running servers; `admin` is an operator at `one`. */
interface AdminCluster {
  readonly issuer: Issuer;
  readonly one: ServerProcess;
  readonly two: ServerProcess;
  readonly brain: ServerProcess;
  readonly admin: AdminClient;
}

async function connect(
  { issuer }: AdminCluster,
  shield: ServerProcess,
  claims: Record<string, unknown> = {},
): Promise<RawClient> {
  return await openText(shield.socket_url, await issuer.tokenFor(claims));
}

async function subscribe(client: RawClient, room: string, more: object = {}): Promise<void> {
  await ask(client, { op: "sub", room, ...more });
}

async function nodes({ admin, one, two, brain }: AdminCluster): Promise<void> {
  const all = await admin.until("/v1/cluster", "not all are known", ({ body }) => {
    const ready = body.nodes.filter(({ ready }: { ready: boolean }) => ready);
    return body.nodes.length === 3 && ready.length === 3 ? body : undefined;
  });
  const by_id = new Map(all.nodes.map((node: { node_id: string }) => [node.node_id, node]));
  const ids = [brain.ready.brain_id, one.ready.node_id, two.ready.node_id];
  assert.deepEqual([...by_id.keys()].sort(), ids.toSorted());
  for (const node of all.nodes) {
    assert.equal(node.version, one.ready.version);
    assert.equal(node.spine.engine, "nats");
    assert.ok(node.rss_bytes > 1e7 && node.cpu_seconds > 0 && node.started_ms > 1e12, node.node_id);
    assert.equal(node.checks.spine.ok, true);
  }
  const processes = new Set(all.nodes.map((node: { process_id: string }) => node.process_id));
  assert.equal(processes.size, 3, "three processes");
  const only = await admin.read(`/v1/cluster?node=${two.ready.node_id}`);
  assert.deepEqual(only.nodes.map(({ node_id }: { node_id: string }) => node_id), [ids[2]]);
}

async function clients(cluster: AdminCluster): Promise<void> {
  const { admin, one, two } = cluster;
  using ann = await connect(cluster, one);
  using bob = await connect(cluster, two, { sub: "bob" });
  using eve = await connect(cluster, two, { sub: "eve", tenant_id: "other" });
  for (const client of [ann, bob, eve]) await subscribe(client, "lobby");
  const { connections, total, nodes } = await admin.read("/v1/connections?sort=age");
  const shown = connections.map((one: Record<string, unknown>) => [one.user_id, one.node_id]);
  const { node_id: first } = one.ready;
  const { node_id: second } = two.ready;
  assert.deepEqual(shown, [["ann", first], ["bob", second], ["eve", second]]);
  assert.equal(total, 3);
  assert.deepEqual(nodes, { answered: [first, second].sort(), silent: [] });
  const acme = await admin.read("/v1/connections?tenant=acme&room=lobby&limit=1");
  assert.deepEqual([acme.total, acme.connections.length, acme.truncated], [2, 1, true]);
  const { rooms } = await admin.read("/v1/rooms?tenant=acme&prefix=lob");
  assert.deepEqual([rooms.length, rooms[0].room_id, rooms[0].subscribers], [1, "lobby", 2]);
  assert.deepEqual(rooms[0].nodes.toSorted(), [first, second].toSorted());
  const { tenants } = await admin.read("/v1/tenants?sort=connections");
  const counted = tenants.map(({ tenant_id, connections, users, rooms }: Record<string, unknown>) =>
    `${tenant_id} ${connections} ${users} ${rooms}`
  );
  assert.deepEqual(counted, ["acme 2 2 2", "other 1 1 1"], "a room counts at each Shield");
}

async function disconnect(cluster: AdminCluster): Promise<void> {
  const { admin, two } = cluster;
  using bob = await connect(cluster, two, { sub: "bob" });
  await subscribe(bob, "lobby");
  const { connections } = await admin.read("/v1/connections?user=bob");
  const path = `/v1/connections/${connections[0].connection_id}`;
  const detail = await admin.read(path);
  const plain = { presence: false, no_echo: false, batch: false };
  assert.deepEqual(detail.rooms, [{ room_id: "lobby", ...plain }]);
  assert.equal((await admin.ask("DELETE", path)).status, 204);
  const { signal } = await bob.json();
  assert.deepEqual([signal.kind, signal.target], ["DISCONNECT", connections[0].connection_id]);
  assert.equal((await bob.json()).reason, "disconnected");
  assert.deepEqual(await bob.closed(), { code: 1008, reason: "disconnected" });
  assert.equal((await admin.ask("DELETE", path)).status, 404);
  assert.equal((await admin.get(path)).body.reason, "not-found");
  const line = /by=root msg="an operator ended a connection"/;
  await until("the Shield's word", () => line.test(two.log()));
}

/** The next message's id. */
async function nextId(client: RawClient): Promise<string> {
  for (;;) {
    const frame = await client.json();
    if (frame.op === "msg" && frame.type === "t") return frame.message_id;
  }
}

const publish = (client: RawClient, message_id: string) =>
  ask(client, { op: "pub", room: "hall", type: "t", data: 1, message_id });

interface Row {
  readonly node_id: string;
  readonly ended?: { readonly code: number; readonly reason: string };
  readonly outcomes: readonly { readonly state: string; readonly why?: string }[];
}

async function word({ admin }: AdminCluster, message_id: string, user: string): Promise<string[]> {
  const { connections } = await admin.read(`/v1/why?message_id=${message_id}&user=${user}`);
  return connections.map(({ outcomes: [one] }: Row) => one?.state);
}

/** Each Shield reports the messages that it knows; `one` asks `two`. */
async function why(cluster: AdminCluster): Promise<void> {
  const { admin, one, two } = cluster;
  const first = one.ready.node_id;
  const second = two.ready.node_id;
  using ann = await connect(cluster, one, { sub: "says" });
  using bob = await connect(cluster, two, { sub: "hears" });
  for (const client of [ann, bob]) await ask(client, { op: "sub", room: "hall" });
  await publish(ann, "one");
  assert.equal(await nextId(bob), "one");
  const { messages, connections, ledgers } = await admin.read("/v1/why?message_id=one&user=hears");
  const nodes = messages[0].heard.map(({ node_id }: Row) => node_id);
  assert.deepEqual(nodes.toSorted(), [first, second].toSorted());
  assert.deepEqual(connections.map(({ node_id }: Row) => node_id), [second]);
  assert.deepEqual(connections[0].outcomes[0].state, "sent");
  assert.equal(ledgers.length, 2);
  assert.deepEqual(await word(cluster, "one", "says"), ["sent"]);
}

async function levels({ admin, two, brain }: AdminCluster): Promise<void> {
  const { node_id } = two.ready;
  const set = await admin.ask("PUT", "/v1/log", { component: "shield", level: "debug", node_id });
  assert.deepEqual([set.status, set.body.levels[0].levels], [200, { shield: "debug" }]);
  const { levels } = await admin.read("/v1/log");
  const own = levels.filter((one: { levels: object }) => Object.keys(one.levels).length > 0);
  assert.deepEqual(own.map((one: { node_id: string }) => one.node_id), [node_id]);
  const nobody = await admin.ask("PUT", "/v1/log", { component: "sword", level: "debug" });
  assert.match(nobody.body.detail, /"sword" writes no log; known: brain, .*shield/);
  const reset = { component: "shield", level: null, node_id };
  assert.deepEqual((await admin.ask("PUT", "/v1/log", reset)).body.levels[0].levels, {});
  const everywhere = { component: "brain", level: "warn" };
  assert.equal((await admin.ask("PUT", "/v1/log", everywhere)).status, 200);
  await admin.ask("PUT", "/v1/log", { component: "brain", level: null });
  await until("the Brain's word", () => /target=brain to=warn by=root/.test(brain.log()));
}

async function silent(cluster: AdminCluster): Promise<void> {
  const { admin, one, two } = cluster;
  const { node_id } = two.ready;
  two.signal("SIGSTOP");
  try {
    const { nodes } = await admin.read("/v1/connections");
    assert.deepEqual(nodes, { answered: [one.ready.node_id], silent: [node_id] });
    const { nodes: shown, silent } = await admin.read("/v1/cluster");
    assert.deepEqual([shown.length, silent], [2, [node_id]]);
    // The other messages are reported, and the truncation is stated.
    const partly = await admin.read("/v1/why?message_id=one&user=hears");
    assert.deepEqual(partly.nodes, { answered: [one.ready.node_id], silent: [node_id] });
    assert.deepEqual([partly.messages.length, partly.connections], [1, []]);
    const change = { component: "shield", level: null, node_id };
    const set = await admin.ask("PUT", "/v1/log", change);
    assert.deepEqual([set.status, set.body.reason], [503, "process-unavailable"]);
  } finally {
    two.signal("SIGCONT");
  }
  await admin.until(
    "/v1/connections",
    "it does not come back",
    ({ body: { nodes } }) =>
      nodes.silent.length === 0 && nodes.answered.length === 2 ? true : undefined,
  );
}

async function drain(cluster: AdminCluster): Promise<void> {
  const { admin, one, two, brain } = cluster;
  assert.equal((await admin.ask("POST", "/v1/drain", { node_id: "nobody" })).status, 404);
  using ann = await connect(cluster, one, { sub: "says" });
  using bob = await connect(cluster, two, { sub: "hears" });
  for (const client of [ann, bob]) await ask(client, { op: "sub", room: "hall" });
  for (const [server, node_id] of [[two, two.ready.node_id], [brain, brain.ready.brain_id]]) {
    const answer = await admin.ask("POST", "/v1/drain", { node_id });
    assert.deepEqual([answer.status, answer.body], [202, { node_id, draining: true }]);
    const { code } = await (server as ServerProcess).status;
    assert.equal(code, 0, (server as ServerProcess).log());
    assert.match((server as ServerProcess).log(), /by=root msg="an operator drains this process"/);
  }
  assert.equal((await bob.closed()).code, 1012);
  const left = await admin.until(
    "/v1/cluster",
    "those that went are waited for",
    ({ body }) => body.silent.length === 0 && body.nodes.length === 1 ? body : undefined,
  );
  assert.equal(left.nodes[0].node_id, one.ready.node_id);
  await publish(ann, "two");
  assert.deepEqual(await word(cluster, "two", "hears"), [], "its ledger has gone with it");
}

Deno.test("one Shield's admin API is about the whole cluster", async (t) => {
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  await using issuer = await createIssuer();
  const spine = (user: string) =>
    `[nats]\nurls = ["nats://${user}:secret@127.0.0.1:${nats.port}"]\n`;
  const config = spine("shield") + issuer.config + KEPT_ROOMS;
  const operators = { admin_lines: 'operator_tenants = ["acme"]' };
  const start = () => startServer("shield", config, issuer.dir, "drain_ms = 0\n", operators);
  await using one = await start();
  await using two = await start();
  await using brain = await startServer("brain", spine("brain"), issuer.dir);
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const admin = new AdminClient(one.ready["admin_url"] ?? "", token);
  const cluster = { issuer, one, two, brain, admin };
  const steps = { nodes, clients, disconnect, levels, why, ...ROOM_STEPS, silent, drain };
  for (const [name, step] of Object.entries(steps)) await t.step(name, () => step(cluster));
  const denied = /Permissions Violation|ended a subscription|denied/i;
  for (const { log } of [one, two, brain]) assert.doesNotMatch(log(), denied);
});
