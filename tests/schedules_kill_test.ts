/**
 * Schedules over SIGKILL: Shields that publish what is due are killed at any moment, on NATS with the documented
 * accounts; and an embedded bus is away while times pass. Each time is in the room's log once.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { freePort } from "./harness/free_ports.ts";
import { startNats } from "./harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { openText } from "./peers/raw_client.ts";

const ROOM = "log-1";
const EVERY_MS = 1_000;
const TABLES = `
[[rooms]]
room = "log-*"
durable = true
history_size = 10_000
`;
const PATH = "/v1/tenants/acme/schedules";

/** Resolves when the journal has times of a schedule that were published; it has no hole but of killed Shields. */
async function journalled(admin: AdminClient, tenant: string, schedule_id: string) {
  await until(
    "times are in the journal",
    async () =>
      (await admin.decisions(tenant)).some(({ message_id, allowed, terms }) =>
        allowed && message_id?.startsWith(`${schedule_id}.`) === true &&
        terms?.credential.issuer === "arqon:schedule"
      ),
  );
}

const tick = (room: string) => ({ room, message: { type: "tick", data: { n: 1 } } });

/** The times of a schedule in the room's log, in the order of the log, Unix ms. */
async function timesIn(peer: HttpPeer, schedule_id: string): Promise<number[]> {
  const times: number[] = [];
  for (let after = 0;;) {
    const { status, body } = await peer.call(
      "GET",
      `rooms/${ROOM}/messages?limit=1000&after=${after}`,
    );
    assert.equal(status, 200, JSON.stringify(body));
    for (const { message_id, offset } of body.messages) {
      after = offset;
      const [id, time] = String(message_id).split(".");
      if (id === schedule_id) times.push(Number(time));
    }
    if (!body.more) return times;
  }
}

/** Each time once, none left out, in order. */
function assertWhole(times: readonly number[]): void {
  const [first = 0] = times;
  assert.deepEqual(times, times.map((_, at) => first + EVERY_MS * at));
}

interface Shields extends AsyncDisposable {
  readonly issuer: Issuer;
  readonly url: (at: number) => string;
  readonly admin: (at: number) => Promise<AdminClient>;
  readonly peer: (at: number) => Promise<HttpPeer>;
  kill(at: number): Promise<void>;
  start(at: number): Promise<void>;
}

async function startShields(): Promise<Shields> {
  const issuer = await createIssuer();
  const nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const url = nats.url.replace("nats://", "nats://shield:secret@");
  const config = `[nats]\nurls = ["${url}"]\n${TABLES}${issuer.config}`;
  const ports = [freePort(), freePort()];
  const servers: ServerProcess[] = [];
  const start = async (at: number) => {
    servers[at] = await startServer(
      "shield",
      config,
      issuer.dir,
      `node_id = "shield-${at}"`,
      ports[at],
    );
  };
  for (const at of [0, 1]) await start(at);
  const root = { role: "admin", sub: "root" };
  return {
    issuer,
    url: (at) => `ws://127.0.0.1:${ports[at]}/v1/socket`,
    admin: async (at) =>
      new AdminClient(servers[at]!.ready["admin_url"]!, await issuer.tokenFor(root)),
    peer: async (at) => new HttpPeer(`http://127.0.0.1:${ports[at]}`, await issuer.tokenFor()),
    kill: async (at) => void await servers[at]!.stop("SIGKILL"),
    start,
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server.stop()));
      await nats[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a time of a schedule is published once, whichever Shield is killed, on NATS", async () => {
  await using shields = await startShields();
  const admin = await shields.admin(1);
  const set = async (name: string, room: string) => {
    const { status, body } = await admin.ask("PUT", `${PATH}/${name}`, {
      ...tick(room),
      every_ms: EVERY_MS,
    });
    assert.equal(status, 200, JSON.stringify(body));
  };
  const token = await shields.issuer.tokenFor({ sub: "ann" });
  using client = await openText(shields.url(1), token);
  client.send({ op: "sub", room: "hall", id: 1 });
  while ((await client.json()).op !== "ack");
  const heard: number[] = [];
  const hearing = (async () => {
    for (;;) {
      const { op, message_id } = await client.json();
      if (op === "msg") heard.push(Number(String(message_id).split(".")[1]));
    }
  })().catch(() => {});
  // The configuration has no journal: the tenant's own class has.
  const hall = { room: "hall", journal: "all" };
  const classed = await admin.ask("PUT", "/v1/tenants/acme/rooms", hall);
  assert.equal(classed.status, 200, JSON.stringify(classed.body));
  await set("kept", ROOM);
  await set("heard", "hall");
  const peer = await shields.peer(1);
  const grows = async (by: number) => {
    const before = (await timesIn(peer, "kept")).length;
    const heard_before = heard.length;
    await until(
      "times are published",
      async () =>
        (await timesIn(peer, "kept")).length >= before + by && heard.length >= heard_before + by,
    );
  };
  for (let round = 0; round < 3; round++) {
    await grows(2);
    await shields.kill(0);
    await grows(2);
    await shields.start(0);
  }
  assert.equal((await admin.ask("DELETE", `${PATH}/heard`)).status, 200);
  const paused = await admin.ask("POST", `${PATH}/kept/pause`);
  assert.equal(paused.status, 200, JSON.stringify(paused.body));
  assertWhole(await timesIn(peer, "kept"));
  assertWhole(heard);
  await journalled(admin, "acme", "heard");
  client.socket.close();
  await hearing;
});

Deno.test("times at which an embedded bus was not there are published once when it is back", async () => {
  await using folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const port = freePort();
  const config = await Deno.readTextFile(file);
  const fixed = config.replace(/(\[server\][^[]*?^port = )0$/m, `$1${port}`);
  await Deno.writeTextFile(file, `${fixed}${TABLES}[journal]\njournal = "all"\n`);
  const root = await tokenOf(folder.path, "admin");
  const peer = new HttpPeer(`http://127.0.0.1:${port}`, await tokenOf(folder.path, "user"));
  const path = "/v1/tenants/default/schedules/kept";
  let bus = await startServe(folder.path);
  try {
    const admin = new AdminClient(bus.admin_url, root);
    const set = await admin.ask("PUT", path, { ...tick(ROOM), every_ms: EVERY_MS });
    assert.equal(set.status, 200, JSON.stringify(set.body));
    const nobody = await admin.ask("PUT", path, { ...tick(ROOM), every_ms: EVERY_MS, user: "a\n" });
    assert.equal(nobody.status, 400, JSON.stringify(nobody.body));
    await until("the first", async () => (await timesIn(peer, "kept")).length > 1);
    await bus.stop("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 2 * EVERY_MS));
    bus = await startServe(folder.path);
    const since_ms = Date.now();
    await until(
      "it goes on",
      async () => (await timesIn(peer, "kept")).some((at) => at > since_ms),
    );
    assertWhole(await timesIn(peer, "kept"));
    await journalled(new AdminClient(bus.admin_url, root), "default", "kept");
  } finally {
    await bus.stop();
  }
});
