/**
 * Journals of members over SIGKILL: Shields with members, Brains in the middle of writing, then all of
 * them at once, on NATS; and an embedded bus that is killed with members in it. What the journal says is
 * played again and held against who is really there.
 */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { insist, seen, until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { freePort } from "./harness/free_ports.ts";
import { startNats } from "./harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";
import { Player } from "./membership/played.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { openText } from "./peers/raw_client.ts";

type Client = Awaited<ReturnType<typeof openText>>;

const ROOM = "stage-1";
const USERS = 8;
const TABLES = `
[presence]
#constant presence.heartbeat_ms = 200
#constant presence.down_ms = 2_000
#constant presence.brain_timeout_ms = 900
[[rooms]]
room = "stage-*"
membership = "journal"
history_size = 10_000
`;

/** What stands in the journal, played: throws at what cannot be. */
async function played(peer: HttpPeer) {
  const player = new Player();
  for (let after = 0;;) {
    const path = `rooms/${ROOM}~members/messages?limit=1000&after=${after}`;
    const { status, body } = await peer.call("GET", path);
    assert.equal(status, 200, JSON.stringify(body));
    for (const { type, data, offset } of body.messages) {
      after = offset;
      player.take(type, JSON.stringify(data));
    }
    if (!body.more) break;
  }
  const { inside, causes, entries, problems } = player.end();
  assert.deepEqual(problems, []);
  return { users: [...inside.values()].toSorted(), causes, entries };
}

async function enter(url: string, token: string): Promise<Client> {
  const client = await openText(url, token);
  client.send({ op: "sub", room: ROOM, id: 1, presence: true });
  while ((await client.json()).op !== "ack");
  return client;
}

/** Comes to one of the addresses that answers, that one first. */
async function enterSomewhere(
  urls: readonly string[],
  first: number,
  token: string,
): Promise<Client> {
  let turn = first;
  return await insist("a Shield takes it", () => enter(urls[turn++ % urls.length]!, token));
}

const named = (user: string) => ({ sub: user });

interface Cluster extends AsyncDisposable {
  readonly issuer: Issuer;
  readonly urls: readonly string[];
  readonly peer: () => Promise<HttpPeer>;
  kill(part: "shield" | "brain", at: number): Promise<void>;
  start(part: "shield" | "brain", at: number): Promise<void>;
}

async function startCluster(): Promise<Cluster> {
  const issuer = await createIssuer();
  const nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const configOf = (part: string) => {
    const url = nats.url.replace("nats://", `nats://${part}:secret@`);
    return `[nats]\nurls = ["${url}"]\n${TABLES}${issuer.config}`;
  };
  const ports = { shield: [freePort(), freePort()], brain: [0, 0] };
  const servers: Record<"shield" | "brain", ServerProcess[]> = { shield: [], brain: [] };
  const start = async (part: "shield" | "brain", at: number) => {
    const name = `node_id = "${part}-${at}"`;
    servers[part][at] = await startServer(part, configOf(part), issuer.dir, name, ports[part][at]);
  };
  for (const part of ["brain", "shield"] as const) {
    for (const at of [0, 1]) await start(part, at);
  }
  const urls = ports.shield.map((port) => `ws://127.0.0.1:${port}/v1/socket`);
  return {
    issuer,
    urls,
    peer: async () => new HttpPeer(`http://127.0.0.1:${ports.shield[0]}`, await issuer.tokenFor()),
    kill: async (part, at) => void await servers[part][at]?.stop("SIGKILL"),
    start,
    async [Symbol.asyncDispose]() {
      await Promise.all([...servers.shield, ...servers.brain].map((server) => server.stop()));
      await nats[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
    },
  };
}

/** Users who come and go until they are stopped; then as many as `stay` are there. */
function churn(cluster: Cluster) {
  const here = new Map<string, Client>();
  let is_over = false;
  const live = async (at: number) => {
    const user = `u${at}`;
    const token = await cluster.issuer.tokenFor(named(user));
    while (!is_over) {
      const client = await enterSomewhere(cluster.urls, at, token);
      here.set(user, client);
      await pace(5 + 20 * at);
      if (is_over && at % 2 === 0) break;
      here.delete(user);
      client.socket.close(1000);
    }
    // Whoever stays may have been on a Shield that was killed.
    if (at % 2 === 1) return;
    const open = here.get(user)?.socket.readyState === WebSocket.OPEN;
    if (!open) here.set(user, await enterSomewhere(cluster.urls, at, token));
  };
  const lives = Array.from({ length: USERS }, (_, at) => live(at));
  return {
    async stop() {
      is_over = true;
      await Promise.all(lives);
      return [...here.keys()].toSorted();
    },
    close: () => here.forEach(({ socket }) => socket.close()),
  };
}

Deno.test("one leave for each join, whoever is killed, on NATS", async () => {
  await using cluster = await startCluster();
  const peer = await cluster.peer();
  const crowd = churn(cluster);
  const grows = async (by: number) => {
    const { entries } = await played(peer);
    await until("it goes on", async () => (await played(peer)).entries >= entries + by);
  };
  await grows(30);
  const token = await cluster.issuer.tokenFor(named("witness"));
  for (const [part, at] of [["brain", 0], ["shield", 1], ["brain", 1]] as const) {
    // Of those who come and go nobody may be there just then.
    using witness = part === "shield" ? await enter(cluster.urls[at]!, token) : undefined;
    const stands = async () => (await played(peer)).users.includes("witness");
    if (witness !== undefined) await until("the witness stands there", stands);
    await cluster.kill(part, at);
    await grows(10);
    await cluster.start(part, at);
    await grows(10);
  }
  await Promise.all([cluster.kill("brain", 0), cluster.kill("brain", 1)]);
  await Promise.all([cluster.start("brain", 0), cluster.start("brain", 1)]);
  await grows(10);
  const users = await crowd.stop();
  const are = async () => (await played(peer)).users;
  await until(
    () => `${users} are there`,
    async () => (await are()).join() === users.join(),
  );
  const { causes } = await played(peer);
  assert.ok(causes.includes("closed") && causes.includes("node-lost"), [...new Set(causes)].join());
  crowd.close();
  await until("all have gone", async () => (await are()).length === 0);
});

Deno.test("who came and went while no Brain served stands there, with when and why", async () => {
  await using cluster = await startCluster();
  const peer = await cluster.peer();
  const token = await cluster.issuer.tokenFor(named("brief"));
  using before = await enter(cluster.urls[0]!, token);
  await until("the first stands there", async () => (await played(peer)).entries === 2);
  await Promise.all([cluster.kill("brain", 0), cluster.kill("brain", 1)]);
  // A Shield without a Brain takes members into rooms that it knows.
  for (let n = 0; n < 4; n++) {
    const brief = await enter(cluster.urls[0]!, token);
    brief.socket.close(1000);
    await brief.closed();
  }
  before.send({ op: "unsub", room: ROOM, id: 2 });
  while ((await before.json()).id !== 2);
  await Promise.all([cluster.start("brain", 0), cluster.start("brain", 1)]);
  // `joined` and `occupied` of the first, four stays of two, its `left` and `vacated`.
  const causes = async () => (await played(peer)).causes.toSorted().join();
  await seen(
    "all five stand there",
    causes,
    // Who stood there before may be compared first: then nobody knows why it left.
    (all) => /^closed,closed,closed,closed,un(known|subscribed)$/.test(all),
    20_000,
  );
});

Deno.test("who was there when an embedded bus was killed has left, once it is there again", async () => {
  await using folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const port = freePort();
  const config = await Deno.readTextFile(file);
  const fixed = config.replace(/(\[server\][^[]*?^port = )0$/m, `$1${port}`);
  await Deno.writeTextFile(file, `${fixed}${TABLES}`);
  const token = await tokenOf(folder.path, "user");
  const peer = new HttpPeer(`http://127.0.0.1:${port}`, token);
  let bus = await startServe(folder.path);
  try {
    const first = await enter(bus.url, token);
    await until("it stands there", async () => (await played(peer)).entries === 2);
    await bus.stop("SIGKILL");
    first.socket.close();
    bus = await startServe(folder.path);
    await until("it has left", async () => (await played(peer)).entries === 4);
    assert.deepEqual((await played(peer)).causes, ["node-lost"]);
    using again = await enter(bus.url, token);
    await until("another one", async () => (await played(peer)).entries === 6);
    assert.ok(again);
  } finally {
    await bus.stop();
  }
});
