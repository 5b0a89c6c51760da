/**
 * The wall clock of a Shield and a Brain is set by seconds and hours, there and back, while clients work: nothing is
 * lost, doubled or refused. Real processes with libfaketime, on NATS beside a Shield whose clock is right.
 * `model/faults_calm_test.ts` has an embedded bus.
 */
import assert from "node:assert/strict";
import type { TreeReader } from "../shared/proof/reader.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { Receiver, SECRET } from "./hooks/receiver.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { grown, served, verifierOf } from "./proof/served.ts";
import { createWallClock, type WallClock } from "./wall_clock.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const STEPS_S = [2, -2, 20, -20, 7_200, -7_200];
/** Messages before, during and after each step. */
const MESSAGES = 8;
const DAY_S = 86_400;

/** Before a publish into such a room its receiver is asked, which refuses what is signed minutes off. */
const asked = (tenant: string, receiver: Receiver) => `
[[hooks]]
id = "asked"
tenant = "${tenant}"
url = "${receiver.url}"
room = "asked-*"
events = []
before = ["publish"]
secret_file = "${secretFile(SECRET)}"
`;

const configOf = (tenant: string, receiver: Receiver) => `
[usage]
enabled = true
#constant usage.flush_ms = 50
[journal]
journal = "all"
#constant journal.flush_ms = 50
[webhooks]
private_hosts = ["127.0.0.1"]
[[hooks]]
id = "h"
tenant = "${tenant}"
url = "${receiver.url}"
room = "hall-*"
secret_file = "${secretFile(SECRET)}"
${durableRooms("hall-*", "history_size = 10_000")}
${durableRooms("grow-*")}
${durableRooms("bets-*", "proof = true", "proof_public = true")}
${durableRooms("tick-*", "history_size = 10_000")}
`;

interface World {
  readonly tenant: string;
  /** Of the process whose clock is set, and of one whose clock is right. */
  readonly struck: string;
  readonly struck_admin: AdminClient;
  readonly other: string;
  readonly admin: AdminClient;
  readonly token: string;
  readonly clock: WallClock;
  readonly receiver: Receiver;
}

/** A page of `to` reads events with a ticket that `from` has made. */
async function redeem({ token }: World, from: string, to: string): Promise<void> {
  const { status, body } = await new HttpPeer(from, token).call("POST", "tickets", {
    rooms: ["hall-1"],
  });
  assert.equal(status, 200, JSON.stringify(body));
  using reader = await EventReader.open(`${to}/v1/rooms/hall-1/events?ticket=${body.ticket}`, {});
  await reader.until("subscribed");
}

/** A message's receipt promises an entry of the log a minute later. */
const PROMISED_MS = 60_000;
/** The most that the embedded log's clock has followed a set one. */
const SLEWED_MS = 30_000;

/** A room with a public log, which keeps its promises whichever process is asked and whatever its clock shows. */
function provenRoom({ tenant, struck, other, token }: World) {
  const places = [struck, other];
  const files = places.map((http_url) => served({ http_url }, `${tenant}.bets-1`));
  const promised: unknown[] = [];
  const seen: TreeReader[] = [];
  return {
    async extend() {
      for (const place of places) {
        const { status, body } = await new HttpPeer(place, token)
          .call("POST", "rooms/bets-1/messages", {
            type: "t",
            data: promised.length,
            headers: { "x-arqon-receipt": "1" },
          });
        assert.equal(status, 200, JSON.stringify(body));
        const [, , entry = "", by = ""] = body.result.receipt.split("\n");
        promised.push(JSON.parse(entry));
        const after_ms = Number(by.split(" ")[1]) - Date.now();
        assert.ok(Math.abs(after_ms - PROMISED_MS) < SLEWED_MS, `${by}: in ${after_ms} ms`);
      }
      const verifier = await verifierOf(files[0]!);
      for (const one of files) seen.push(await grown(one, verifier, promised.length));
    },
    async judge() {
      const last = seen.at(-1)!;
      for (const { checkpoint } of seen) await last.continues(checkpoint);
      const entries = await Array.fromAsync(last.whole());
      assert.deepEqual(entries.map(({ entry }) => entry), promised);
    },
  };
}

/** The struck process finds what it has journalled by its own times, whatever the clock of the storage shows. */
async function journalled({ tenant, struck_admin }: World, message_id: string, ahead_s: number) {
  const now_ms = Date.now() + 1_000 * ahead_s;
  const span = `limit=1000&since_ms=${now_ms - 300_000}&until_ms=${now_ms + 300_000}`;
  for (const query of [span, `${span}&newest=1`]) {
    const path = `/v1/journal?tenant=${tenant}&${query}`;
    await until(
      `${message_id} at ${path}`,
      async () => (await struck_admin.get(path)).text.includes(message_id),
    );
  }
}

/** Works through all steps; returns the ids of the messages of `hall-1` in their order. */
async function work(world: World): Promise<string[]> {
  const { struck, other, token, clock, struck_admin, tenant } = world;
  const ids: string[] = [];
  const proven = provenRoom(world);
  using client = await openText(`${struck.replace(/^http/, "ws")}/v1/socket`, token);
  const publish = async (text: string) => {
    for (let at = 0; at < MESSAGES; at++) {
      const message_id = `${text}-${at}`;
      await ask(client, { op: "pub", room: "hall-1", type: "t", message_id });
      ids.push(message_id);
    }
  };
  for (const ahead_s of STEPS_S) {
    const grow = (name: string, data: object) =>
      ask(client, { op: "cmd", room: "grow-1", name: `growing.${name}`, data });
    const id = `g${ahead_s}`;
    await publish(`before${ahead_s}`);
    await grow("start", { id });
    await grow("append", { id, seq: 1, text: "a" });
    await clock.set(ahead_s);
    await publish(`at${ahead_s}`);
    await grow("append", { id, seq: 2, text: "b" });
    await ask(client, { op: "pub", room: "asked-1", type: "t" });
    const tried = await struck_admin.ask("POST", `/v1/tenants/${tenant}/hooks/h/test`, {});
    assert.equal(Math.floor(tried.body.status / 100), 2, tried.text);
    await journalled(world, ids.at(-1)!, ahead_s);
    await redeem(world, struck, other);
    await redeem(world, other, struck);
    await proven.extend();
    await clock.set(0);
    await proven.extend();
    await publish(`after${ahead_s}`);
    await grow("finish", { id, seq: 2 });
  }
  await proven.judge();
  return ids;
}

/** Compares everything with what was sent. */
async function judge(world: World, ids: readonly string[]): Promise<void> {
  const { tenant, other, token, admin, receiver } = world;
  const peer = new HttpPeer(other, token);
  const stored = async (room: string) => {
    const all: string[] = [];
    for (let after = 0;;) {
      const { body } = await peer.get(`rooms/${room}/messages?limit=1000&after=${after}`);
      for (const { message_id, offset } of body.messages) {
        after = offset;
        all.push(message_id);
      }
      if (!body.more) return all;
    }
  };
  assert.deepEqual(await stored("hall-1"), ids);
  const grown = (await stored("grow-1")).map((id) => id.split(":")[1]);
  assert.deepEqual(grown, STEPS_S.map((ahead_s) => `g${ahead_s}`));
  const used = () => admin.read(`/v1/usage?tenant=${tenant}&by=room&since_ms=0`);
  const hall = ({ rows }: { rows: { room: string; messages_in: number }[] }) =>
    rows.find(({ room }) => room === "hall-*")?.messages_in;
  await until("the ledger of use has all", async () => hall(await used()) === ids.length);
  assert.deepEqual((await used()).lost, []);
  const decided = async () =>
    (await admin.decisions(tenant))
      .filter(({ room, message_id }) => room === "hall-1" && message_id !== null)
      .map(({ message_id }) => message_id);
  await until("the journal has all", async () => (await decided()).length >= ids.length);
  assert.deepEqual((await decided()).toSorted(), ids.toSorted());
  const called = () =>
    receiver.taken.filter(({ body }) => body.type === "room.message")
      .map(({ body }) => body.data.message.message_id as string);
  await until("the hook was called for all", () => new Set(called()).size === ids.length);
  assert.deepEqual(called(), ids);
  assert.deepEqual(receiver.problems, []);
}

/** The times of a schedule in its room, Unix ms. */
async function timesOf({ other, token }: World): Promise<number[]> {
  const { body } = await new HttpPeer(other, token).get("rooms/tick-1/messages?limit=1000");
  return body.messages.map(({ message_id }: { message_id: string }) =>
    Number(message_id.split(".")[1])
  );
}

const EVERY_MS = 1_000;

async function schedule({ tenant, admin }: World): Promise<void> {
  const message = { type: "tick", data: {} };
  const path = `/v1/tenants/${tenant}/schedules/tick`;
  const { status, text } = await admin.ask("PUT", path, {
    room: "tick-1",
    message,
    every_ms: EVERY_MS,
  });
  assert.equal(status, 200, text);
}

Deno.test("NATS: a Shield and a Brain whose clocks are set lose, double and refuse nothing", async () => {
  await using issuer = await createIssuer();
  const clock = await createWallClock(issuer.dir);
  if (clock === undefined) return;
  await using receiver = new Receiver();
  receiver.answer = ({ body }) =>
    body.type === "before.publish" ? Response.json({ allow: true }) : undefined;
  await using nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n` +
    configOf("acme", receiver) + asked("acme", receiver);
  const start = (part: "shield" | "brain", env: Readonly<Record<string, string>>) =>
    startServer(part, config, issuer.dir, part === "shield" ? "drain_ms = 0" : "", { env });
  await using _brain = await start("brain", clock.env);
  await using struck = await start("shield", clock.env);
  await using other = await start("shield", {});
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  const root = await issuer.tokenFor({ role: "admin", sub: "root", exp });
  const world: World = {
    tenant: "acme",
    struck: struck.ready.url ?? "",
    other: other.ready.url ?? "",
    admin: new AdminClient(other.ready.admin_url ?? "", root),
    struck_admin: new AdminClient(struck.ready.admin_url ?? "", root),
    token: await issuer.tokenFor({ sub: "ann", exp }),
    clock,
    receiver,
  };
  await schedule(world);
  const begin_ms = Date.now();
  const ids = await work(world);
  await judge(world, ids);
  await until(
    "times after the last step",
    async () => ((await timesOf(world)).at(-1) ?? 0) > Date.now() - EVERY_MS,
  );
  const times = await timesOf(world);
  const [first = 0] = times;
  assert.deepEqual(times, times.map((_, at) => first + EVERY_MS * at));
  assert.ok(first <= begin_ms + 2 * EVERY_MS && times.at(-1)! <= Date.now(), `${times}`);
});
