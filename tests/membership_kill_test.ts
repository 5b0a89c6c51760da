/**
 * Journals of members over SIGKILL: of all Brains at once, on NATS, and of an embedded bus with members in it. What the
 * journal says is played again and held against who is really there. Shields and Brains that are killed one by one
 * while members come and go are the focus `members` of `walks/`.
 */
import assert from "node:assert/strict";
import { seen, until } from "../shared/testing/until.ts";
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
