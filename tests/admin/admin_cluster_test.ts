/**
 * The admin API over two Shields and a Brain, each a process, on a real NATS with the accounts that
 * docs/run_nats.md gives: one Shield shows and does what concerns all of them.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { withAdminCluster } from "./admin_cluster.ts";
import type { AdminCluster } from "./admin_cluster.ts";
import { AdminClient } from "../peers/admin_client.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { openText } from "../peers/raw_client.ts";
import type { RawClient } from "../peers/raw_client.ts";

async function connect(
  { issuer }: Pick<AdminCluster, "issuer">,
  shield: ServerProcess,
  claims: Record<string, unknown> = {},
): Promise<RawClient> {
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  return await openText(url, await issuer.tokenFor(claims));
}

async function subscribe(client: RawClient, room: string, more: object = {}): Promise<void> {
  client.send({ op: "sub", room, id: 1, ...more });
  assert.equal((await client.json()).code, 0);
}

async function nodes({ admin, one, two, brain }: AdminCluster): Promise<void> {
  const all = await admin.until(
    "/v1/cluster",
    "not all are known",
    ({ body }) =>
      body.nodes.length === 3 && body.nodes.every(({ ready }: { ready: boolean }) => ready)
        ? body
        : undefined,
  );
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
  assert.deepEqual(rooms.map((room: Record<string, unknown>) => [room.room_id, room.subscribers]), [
    ["lobby", 2],
  ]);
  assert.deepEqual(rooms[0].nodes.toSorted(), [first, second].toSorted());
  const { tenants } = await admin.read("/v1/tenants?sort=connections");
  const counted = tenants.map((one: Record<string, unknown>) => [
    one.tenant_id,
    one.connections,
    one.users,
    one.rooms,
  ]);
  assert.deepEqual(
    counted,
    [["acme", 2, 2, 2], ["other", 1, 1, 1]],
    "a room counts at each Shield",
  );
}

async function disconnect(cluster: AdminCluster): Promise<void> {
  const { admin, two } = cluster;
  using bob = await connect(cluster, two, { sub: "bob" });
  await subscribe(bob, "lobby");
  const { connections } = await admin.read("/v1/connections?user=bob");
  const path = `/v1/connections/${connections[0].connection_id}`;
  const detail = await admin.read(path);
  assert.deepEqual(detail.rooms, [
    { room_id: "lobby", presence: false, no_echo: false, batch: false },
  ]);
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

/** What an admin of another tenant than the operators' sees and ends is its own, on both Shields. */
async function oneTenant(cluster: AdminCluster): Promise<void> {
  const { issuer, admin, one, two } = cluster;
  const claims = { role: "admin", sub: "chief", tenant_id: "other" };
  const other = new AdminClient(one.ready.admin_url ?? "", await issuer.tokenFor(claims));
  using ann = await connect(cluster, one);
  using bob = await connect(cluster, two, { sub: "bob" });
  using eve = await connect(cluster, two, { sub: "eve", tenant_id: "other" });
  for (const client of [ann, bob, eve]) await subscribe(client, "lobby");
  const { connections, total, nodes } = await other.read("/v1/connections");
  assert.deepEqual([connections[0].user_id, connections.length, total], ["eve", 1, 1]);
  assert.equal(nodes.answered.length, 2, "both Shields were asked");
  const { rooms } = await other.read("/v1/rooms");
  assert.deepEqual(
    rooms.map((room: Record<string, unknown>) => [room.tenant_id, room.subscribers]),
    [
      ["other", 1],
    ],
  );
  const { tenants } = await other.read("/v1/tenants");
  assert.deepEqual(
    tenants.map((one: Record<string, unknown>) => [one.tenant_id, one.connections]),
    [["other", 1]],
  );
  const { connections: theirs } = await admin.read("/v1/connections?user=bob");
  for (
    const [id, status] of [[theirs[0].connection_id, 404], [connections[0].connection_id, 204]]
  ) {
    assert.equal((await other.ask("DELETE", `/v1/connections/${id}`)).status, status);
  }
  assert.equal((await eve.json()).signal.kind, "DISCONNECT");
  assert.equal((await admin.read("/v1/connections?user=bob")).total, 1);
  for (const path of ["/v1/cluster", "/v1/log", "/v1/rooms/acme/lobby"]) {
    assert.equal((await other.get(path)).status, 403, path);
  }
}

async function room(cluster: AdminCluster): Promise<void> {
  const { admin, two, brain } = cluster;
  using bob = await connect(cluster, two, { sub: "bob" });
  const meta = { name: "<img src=x onerror=alert(1)>" };
  await subscribe(bob, "club", { presence: true, member_meta: meta });
  bob.send({ op: "cmd", room: "club", name: "room.set", data: { key: "k", value: 1 }, id: 2 });
  const shown = await admin.until(
    "/v1/rooms/acme/club",
    "the room has no member",
    ({ body }) => body.member_count === 1 && body.version > 0 ? body : undefined,
  );
  assert.deepEqual([shown.members[0].user_id, shown.members[0].meta], ["bob", meta]);
  assert.deepEqual([shown.subscribers, shown.user_count], [1, 1]);
  assert.deepEqual(shown.shields, [two.ready.node_id]);
  assert.equal(shown.brain_id, brain.ready.brain_id);
  assert.equal(shown.class.durable, false);
}

async function tail(cluster: AdminCluster): Promise<void> {
  const { admin, two } = cluster;
  await using open = await admin.tail("acme", "lobby");
  using bob = await connect(cluster, two, { sub: "bob" });
  bob.send({ op: "pub", room: "other", type: "chat", data: 1, id: 1 });
  bob.send({ op: "pub", room: "lobby", type: "chat", data: { n: 2 }, message_id: "m-2", id: 2 });
  const { event, data } = (await open.next())!;
  assert.deepEqual([event, data.type, data.data, data.sender, data.message_id], [
    "message",
    "chat",
    { n: 2 },
    "bob",
    "m-2",
  ]);
  assert.ok(data.size_bytes > 0 && data.ts > 1e12 && /^[0-9a-f]{32}$/.test(data.trace_id));
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
    const change = { component: "shield", level: null, node_id };
    const set = await admin.ask("PUT", "/v1/log", change);
    assert.deepEqual([set.status, set.body.reason], [503, "process-unavailable"]);
  } finally {
    two.signal("SIGCONT");
  }
  await admin.until(
    "/v1/connections",
    "it does not come back",
    ({ body }) =>
      body.nodes.silent.length === 0 && body.nodes.answered.length === 2 ? true : undefined,
  );
}

async function drain(cluster: AdminCluster): Promise<void> {
  const { admin, one, two, brain } = cluster;
  assert.equal((await admin.ask("POST", "/v1/drain", { node_id: "nobody" })).status, 404);
  using bob = await connect(cluster, two, { sub: "bob" });
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
}

Deno.test("one Shield's admin API is about the whole cluster", async (t) => {
  const steps = { nodes, clients, disconnect, oneTenant, room, tail, levels, silent, drain };
  await withAdminCluster("", async (cluster) => {
    for (const [name, step] of Object.entries(steps)) await t.step(name, () => step(cluster));
  });
});
