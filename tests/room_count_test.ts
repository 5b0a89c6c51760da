/**
 * `brain_room_count` of real Brains beside a Shield on a real NATS: what lives is counted once, whoever
 * owns it, across a crash, a restart and the end of rooms; the admin API says the same.
 */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { PresenceClient } from "./peers/presence_client.ts";
import { RawClient } from "./peers/raw_client.ts";

const MADE = 25;
const WITH_MEMBER = 20;
const DEADLINE_MS = 60_000;
/** Brains that crash are missed soon, and rooms that nobody uses end within the test. */
const QUICK = `
[presence]
heartbeat_ms = 500
brain_timeout_ms = 2_000
[brain]
idle_timeout_ms = 4_000
`;

async function gauge(server: ServerProcess, name: string): Promise<number> {
  const text = await (await fetch(`${server.ready.ops_url}/metrics`)).text();
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
  assert.ok(value !== undefined, `${name} is not on the page`);
  return Number(value);
}

async function rooms(brains: readonly ServerProcess[]): Promise<number> {
  const counts = await Promise.all(brains.map((brain) => gauge(brain, "brain_room_count")));
  return counts.reduce((sum, count) => sum + count, 0);
}

const live = (what: string, wanted: number, ...brains: ServerProcess[]) =>
  until(what, async () => await rooms(brains) === wanted);

interface Bus {
  readonly shield: ServerProcess;
  readonly issuer: Issuer;
  readonly brains: [ServerProcess, ServerProcess];
  readonly startBrain: (node_id: string) => Promise<ServerProcess>;
  /** With a member in each of the first rooms. */
  readonly member: PresenceClient;
  readonly writer: RawClient;
}

const nameOf = (index: number) => `room-${index}`;

/** A command writes to the rooms without a member: so they are used, and do not end. */
async function write({ writer }: Bus): Promise<void> {
  for (let index = WITH_MEMBER; index < MADE; index++) {
    const id = index;
    const set = { op: "cmd", name: "room.set", data: { key: "k", value: 1 } };
    writer.send({ ...set, room: nameOf(index), id });
    assert.equal((await writer.json()).code, 0);
  }
}

/** Repeats the writes until `done`, so that the rooms stay. */
async function whileUsed(bus: Bus, done: Promise<void>): Promise<void> {
  let is_done = false;
  const end = done.finally(() => {
    is_done = true;
  });
  end.catch(() => {});
  while (!is_done) {
    await write(bus);
    await Promise.race([end, pace(500)]);
  }
  await end;
}

async function counted(bus: Bus): Promise<void> {
  const { brains, member, shield, issuer } = bus;
  for (let index = 0; index < WITH_MEMBER; index++) {
    assert.equal((await member.sub(nameOf(index), { presence: true })).code, 0);
  }
  // Only hears: no Brain knows of it.
  bus.writer.send({ op: "sub", room: "only-heard", id: 1 });
  assert.equal((await bus.writer.json()).code, 0);
  await whileUsed(bus, live("25 rooms", MADE, ...brains));
  const [one, two] = await Promise.all(brains.map((brain) => gauge(brain, "brain_room_count")));
  assert.ok(one! > 0 && two! > 0, `the Brains share them: ${one} and ${two}`);
  for (const brain of brains) {
    const lag_seconds = await gauge(brain, "consistency_convergence_lag");
    assert.ok(lag_seconds >= 0 && lag_seconds < DEADLINE_MS / 1_000, String(lag_seconds));
    // Every Brain merges every member.
    assert.equal(await gauge(brain, "consistency_convergence_seconds_count"), WITH_MEMBER);
  }
  const admin = new AdminClient(
    shield.ready.admin_url ?? "",
    await issuer.tokenFor({ role: "admin" }),
  );
  await whileUsed(
    bus,
    admin.until("/v1/cluster", "the operators are told the same", ({ body }) => {
      const shown = body.nodes.filter(({ kind }: { kind: string }) => kind === "brain")
        .map(({ gauges }: { gauges: { rooms: number } }) => gauges.rooms);
      const sum = shown.reduce((all: number, count: number) => all + count, 0);
      return sum === MADE ? true : undefined;
    }).then(() => {}),
  );
}

async function moved(bus: Bus): Promise<void> {
  const { brains, startBrain } = bus;
  const [one, two] = brains;
  await one.stop("SIGKILL");
  await until("the other takes over", async () => {
    // Commands of rooms that nobody owns for a moment would be refused: they end, and are made anew.
    return await gauge(two, "brain_cluster_brains") === 1;
  });
  await whileUsed(bus, live("all at the other", MADE, two));
  brains[0] = await startBrain("b1");
  await whileUsed(
    bus,
    until("shared again", async () => await rooms(brains) === MADE && await rooms([two]) < MADE),
  );
  assert.equal((await brains[1].stop()).code, 0);
  await whileUsed(bus, live("all at the first", MADE, brains[0]));
}

async function ended({ brains, member }: Bus): Promise<void> {
  await live("those without a member end", WITH_MEMBER, brains[0]);
  member[Symbol.dispose]();
  await live("and the others, when it has left", 0, brains[0]);
}

Deno.test("brain_room_count is the number of rooms that live", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const startBrain = (node_id: string) =>
    startServer("brain", `${config}${QUICK}`, issuer.dir, `node_id = "${node_id}"\n`);
  await using disposed = new AsyncDisposableStack();
  const brains: Bus["brains"] = [await startBrain("b1"), await startBrain("b2")];
  disposed.defer(async () => void await Promise.all(brains.map((brain) => brain.stop())));
  const quick = QUICK.slice(0, QUICK.indexOf("[brain]"));
  await using shield = await startServer(
    "shield",
    `${config}${quick}`,
    issuer.dir,
    'node_id = "s1"\ndrain_ms = 0\n',
  );
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  const token = await issuer.tokenFor();
  using member = await PresenceClient.open(url, token);
  using writer = new RawClient(url, { token, subprotocols: ["arqon.v1.json"] });
  await writer.json();
  const bus: Bus = { shield, issuer, brains, startBrain, member, writer };
  await t.step("25 made, 20 of them with a member: 25 over two Brains", () => counted(bus));
  await t.step("a crash, a restart and a stop of a Brain change nothing", () => moved(bus));
  await t.step("rooms that end are counted no more", () => ended(bus));
  await Deno.remove(issuer.dir, { recursive: true });
});
