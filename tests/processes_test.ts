/** `shield --processes N`: real processes on one port and a real NATS; killed, drained, refused. */
import assert from "node:assert/strict";
import { found, until } from "../shared/testing/until.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { EventReader } from "./peers/event_reader.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { lintPage, parsePage } from "./peers/metrics_page.ts";
import { startNats } from "./harness/nats_server.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { logged } from "./harness/server_state.ts";

const DEADLINE_MS = 90_000;
const COUNT = 3;

interface ProcessHealth {
  process: number;
  node_id: string;
  pid?: number;
  state: string;
  restarts: number;
  ok: boolean;
  checks?: Record<string, { status: string }>;
}

interface Health {
  status: string;
  processes: ProcessHealth[];
}

async function health(node: ServerProcess, which = "ready"): Promise<[number, Health]> {
  const response = await fetch(`${node.ready.ops_url}/health/${which}`);
  return [response.status, await response.json()];
}

async function metrics(node: ServerProcess): Promise<string> {
  return await (await fetch(`${node.ready.ops_url}/metrics`)).text();
}

interface Client extends Disposable {
  readonly raw: RawClient;
  readonly node_id: string;
}

/** A client and its Shield. */
async function connect(node: ServerProcess, issuer: Issuer): Promise<Client> {
  const raw = new RawClient(node.socket_url, {
    token: await issuer.tokenFor(),
    subprotocols: ["arqon.v1.json"],
  });
  const { node_id } = await raw.json();
  return { raw, node_id, [Symbol.dispose]: () => raw[Symbol.dispose]() };
}

/** Clients until every Shield has one; the kernel distributes connections by their addresses. */
async function connectToAll(node: ServerProcess, issuer: Issuer): Promise<Map<string, Client>> {
  const by_node = new Map<string, Client>();
  await until("every Shield gets connections", async () => {
    const client = await connect(node, issuer);
    if (by_node.has(client.node_id)) client[Symbol.dispose]();
    else by_node.set(client.node_id, client);
    return by_node.size === COUNT;
  }, DEADLINE_MS);
  return by_node;
}

interface Node {
  node: ServerProcess;
  issuer: Issuer;
  clients: Map<string, Client>;
}

async function oneBus({ clients }: Node): Promise<void> {
  assert.deepEqual([...clients.keys()].sort(), ["edge-0", "edge-1", "edge-2"]);
  for (const { raw } of clients.values()) {
    await ask(raw, { op: "sub", room: "lobby" });
  }
  const [first] = clients.values();
  first?.raw.send({ op: "pub", room: "lobby", type: "hello" });
  for (const { raw } of clients.values()) assert.equal((await raw.json()).type, "hello");
}

async function onePage({ node }: Node): Promise<void> {
  const page = await metrics(node);
  assert.deepEqual(lintPage(parsePage(page)), []);
  for (const index of ["0", "1", "2", "supervisor"]) {
    assert.match(page, new RegExp(`^arqon_build_info\\{process="${index}",version=`, "m"));
  }
  assert.match(page, /^shield_active_connections\{process="0"\} \d+$/m);
  assert.equal(page.match(/^# HELP shield_active_connections /gm)?.length, 1);
  assert.match(page, /^shield_process_serving\{process="supervisor",index="2"\} 1$/m);
  const [status, ready] = await health(node);
  assert.deepEqual([status, ready.status, ready.processes.length], [200, "ok", COUNT]);
  assert(ready.processes.every(({ checks }) => checks?.spine?.status === "ok"));
  assert.equal((await health(node, "live"))[0], 200);
}

async function oneAdmin({ node, issuer }: Node): Promise<void> {
  const { admin_url } = node.ready;
  const token = await issuer.tokenFor({ role: "admin" });
  const headers = { authorization: `Bearer ${token}` };
  const status = async (path: string) => (await fetch(`${admin_url}${path}`, { headers })).json();
  assert.match((await status("/v1/status")).node_id, /^edge-[012]$/);
  assert.equal((await status("/v1/processes/1/status")).node_id, "edge-1");
  const admin = new AdminClient(admin_url ?? "", token);
  const known = await admin.until(
    "/v1/cluster",
    "not all are known",
    ({ body }) => body.nodes?.length === COUNT ? body.nodes : undefined,
  );
  const ids = known.map(({ node_id }: { node_id: string }) => node_id);
  assert.deepEqual(ids, ["edge-0", "edge-1", "edge-2"]);
  const processes = known.map(({ process_id }: { process_id: string }) => process_id);
  assert.equal(new Set(processes).size, COUNT, "each is a process of its own");
  using _tail = await EventReader.open(`${admin_url}/v1/rooms/acme/lobby/tail`, { token });
  assert.equal((await admin.ask("GET", "/")).headers.get("location"), "/console/");
  for (const path of ["/console/", "/console/replay_worker.js"]) {
    assert.equal((await admin.ask("GET", path)).status, 200, path);
  }
  assert.equal((await admin.read("/v1/connections")).total >= COUNT, true);
  assert.equal((await status("/v1/processes/7/status")).reason, "process-unavailable");
  const refused = await fetch(`${admin_url}/v1/status`);
  assert.equal(refused.status, 401, "the Shield asks for the token");
  await refused.body?.cancel();
}

async function oneDies({ node, issuer, clients }: Node): Promise<void> {
  const [, before] = await health(node);
  const victim = before.processes[1];
  assert(victim?.pid !== undefined);
  Deno.kill(victim.pid, "SIGKILL");
  const lost = await clients.get("edge-1")?.raw.closed();
  assert.notEqual(lost?.code, 1000);
  const [, degraded] = await health(node);
  assert.equal(degraded.processes.filter(({ ok }) => ok).length >= COUNT - 1, true);
  const one = clients.get("edge-0")?.raw;
  const other = clients.get("edge-2")?.raw;
  assert(one !== undefined && other !== undefined);
  one.send({ op: "pub", room: "lobby", type: "still" });
  for (const raw of [one, other]) assert.equal((await raw.json()).type, "still");
  const after = await found("the dead one comes back", async () => {
    const [status, now] = await health(node);
    return status === 200 && now.status === "ok" ? now : undefined;
  }, DEADLINE_MS);
  const reborn = after.processes[1];
  assert.equal(reborn?.restarts, 1);
  assert.notEqual(reborn?.pid, victim.pid);
  assert.match(await metrics(node), /^shield_process_restarts_total\{.*index="1"\} 1$/m);
  await logged(node, /component=supervisor .*child_node_id=edge-1 .*signal=SIGKILL/);
  const again = await found("the new one gets connections", async () => {
    const client = await connect(node, issuer);
    if (client.node_id === "edge-1") return client;
    client[Symbol.dispose]();
  }, DEADLINE_MS);
  clients.set("edge-1", again);
}

/** Restarts only one process in place. */
async function oneDrains({ node, clients }: Node): Promise<void> {
  const [, before] = await health(node);
  const { pid } = before.processes[2] ?? {};
  assert(pid !== undefined);
  Deno.kill(pid, "SIGTERM");
  assert.equal((await clients.get("edge-2")?.raw.closed())?.code, 1012);
  clients.delete("edge-2");
  await until("it is available again", async () => {
    const [, { processes, status }] = await health(node);
    return status === "ok" && processes[2]?.restarts === 1;
  }, DEADLINE_MS);
  await logged(node, new RegExp(`child_node_id=edge-2 pid=${pid} code=0 `));
}

async function allDrain({ node, clients }: Node): Promise<void> {
  node.signal("SIGTERM");
  const closes = [...clients.values()].map(({ raw }) => raw.closed());
  for (const close of closes) assert.equal((await close).code, 1012);
  const { code } = await node.status;
  assert.equal(code, 0, node.log());
  for (const index of [0, 1, 2]) {
    await logged(node, new RegExp(`component=shield node_id=edge-${index} msg="stopped"`));
  }
}

Deno.test("three Shields on one port", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const lines = `node_id = "edge"\ndrain_ms = 0\n`;
  const args = ["--processes", `${COUNT}`];
  // Stands for LD_PRELOAD, by which allocators are loaded: Deno passes it to no child.
  const env = { LD_ARQON: "1" };
  await using node = await startServer("shield", config, issuer.dir, lines, { args, env });
  const clients = await connectToAll(node, issuer);
  const all = { node, issuer, clients };
  await t.step("connections go to all of them, and they are one bus", () => oneBus(all));
  await t.step("one page of metrics, one health", () => onePage(all));
  await t.step("one admin API, and each process by its number", () => oneAdmin(all));
  await t.step("one is killed: the others continue, and it restarts", () => oneDies(all));
  await t.step("one is asked to stop: it drains, and a successor starts", () => oneDrains(all));
  await t.step("SIGTERM: all drain, exit 0", () => allDrain(all));
  for (const client of clients.values()) client[Symbol.dispose]();
});

Deno.test("a supervisor that is killed leaves no Shield behind", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const args = ["--processes", "1"];
  const lines = "drain_ms = 0\n";
  await using node = await startServer("shield", config, issuer.dir, lines, { args });
  const client = await openText(node.socket_url, await issuer.tokenFor());
  node.signal("SIGKILL");
  assert.equal((await client.closed()).code, 1012, "the Shield drains");
  client[Symbol.dispose]();
  const { hostname, port } = new URL(node.ready.url ?? "");
  await until("the Shield's end", async () => {
    const socket = await Deno.connect({ hostname, port: Number(port) }).catch(() => undefined);
    socket?.close();
    return socket === undefined;
  }, DEADLINE_MS);
});

async function refusal(config: string, issuer: Issuer, args: string[], port = 0) {
  const error = await startServer("shield", config, issuer.dir, "", { port, args }).then(
    () => assert.fail("it started"),
    (error) => error,
  );
  assert(error instanceof Error);
  return error.message;
}

Deno.test("settings that do not allow several processes are refused with the fix", async () => {
  await using issuer = await createIssuer();
  const embedded = await refusal(issuer.config, issuer, ["--processes", "2"]);
  assert.match(embedded, /--processes needs \[nats\]/);
  // `supervisor_test.ts` has other counts.
  const many = await refusal(issuer.config, issuer, ["--processes", "65"]);
  assert.match(many, /expected a number from 1 to 64/);
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const config = `[nats]\nurls = ["nats://127.0.0.1:4222"]\n${issuer.config}`;
  const text = await refusal(config, issuer, ["--processes", "2"], taken.addr.port);
  assert.match(text, new RegExp(`port ${taken.addr.port} on 127.0.0.1 is in use`));
});
