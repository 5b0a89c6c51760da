/**
 * Hooks while Brains are killed in the middle of calls, on NATS: each room that somebody was told he has made is told of,
 * once by its id, and each end after its birth. What a Brain leaves unsaid is in `brain/hooks/life_events_test.ts`; calls
 * for messages are the focus `hook` of `walks/`.
 */
import assert from "node:assert/strict";
import { commandEnvelope, sendBytes } from "../brain/rooms/testing/command_probe.ts";
import { configFrom } from "../shared/config/load.ts";
import { createLogger } from "../shared/logs/log.ts";
import type { KeyValue, Spine } from "../shared/spine/contract/spine.ts";
import { openSpine } from "../shared/spine/open.ts";
import { until } from "../shared/testing/until.ts";
import { startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { Receiver, SECRET } from "./hooks/receiver.ts";

const ROOMS = 12;
const KILLS = 6;
/** Rooms that are made between two kills. */
const BIRTHS = 15;
/** Before another room is looked at. */
const PAUSE_MS = 20;
const log = createLogger({
  ...{ level: "error", format: "logfmt", component: "test", now: Date.now },
  write: (line) => console.error(line),
});

const configOf = (nats_url: string, hook_url: string) => `
[nats]
urls = ["${nats_url}"]
request_timeout_ms = 60_000
[brain]
idle_timeout_ms = 500
[presence]
#constant presence.heartbeat_ms = 200
#constant presence.brain_timeout_ms = 1_000
[webhooks]
private_hosts = ["127.0.0.1"]
#constant webhooks.survey_ms = 500
[[rooms]]
tenant = "acme"
room = "kept-*"
durable = true
[[hooks]]
id = "rooms"
tenant = "acme"
url = "${hook_url}"
events = ["room.created", "room.ended"]
secret = "${SECRET}"
backoff_ms = 50
`;

/** Somebody who makes rooms at random that are not there; knows those that were made for certain. */
class Maker {
  readonly epochs = new Map<string, string>();
  readonly #spine: Spine;
  readonly #stored: KeyValue;

  constructor(spine: Spine, stored: KeyValue) {
    [this.#spine, this.#stored] = [spine, stored];
  }

  async make(): Promise<void> {
    const room = `r${Math.floor(Math.random() * ROOMS)}`;
    // It ends when nobody uses it.
    if (await this.#stored.get(["acme", room]) !== undefined) {
      return await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    const command = { name: "set", data: { key: "k", value: 1 }, room };
    try {
      const sent = { ...command, timeout_ms: 5_000 };
      const { code, result } = await sendBytes(this.#spine, commandEnvelope(command), sent);
      if (code === 0) this.epochs.set(JSON.parse(result).epoch, room);
    } catch {
      // The Brain that had it was killed: whether the room was made is not known.
    }
  }
}

/** What the receiver was told of each room, each event once. */
function toldOf({ taken }: Receiver): Map<string, { type: string; epoch: string }[]> {
  const first = new Map<string, { room: string; type: string; epoch: string }>();
  for (const { id, body: { type, data } } of taken) {
    if (!first.has(id)) first.set(id, { room: data.room, type, epoch: data.event.epoch });
  }
  return Map.groupBy(first.values(), ({ room }) => room);
}

function judge(receiver: Receiver, { epochs }: Maker): string[] {
  const problems: string[] = [];
  const made = new Set<string>();
  for (const [room, events] of toldOf(receiver)) {
    for (const [at, { type, epoch }] of events.entries()) {
      const expected = at % 2 === 0 ? "room.created" : "room.ended";
      if (type !== expected) problems.push(`${room}: ${type} in place of ${expected}`);
      if (type === "room.created") made.add(epoch);
      else if (events[at - 1]?.epoch !== epoch) problems.push(`${room}: the end of another one`);
    }
    if (events.length % 2 === 1) problems.push(`${room}: its end was not told`);
  }
  for (const [epoch, room] of epochs) {
    if (!made.has(epoch)) problems.push(`${room}: ${epoch} was not told`);
  }
  return problems;
}

Deno.test("rooms that are made and end under kills of Brains are told of, once and in order", async () => {
  await using receiver = new Receiver();
  await using nats = await startNats({ jetstream: true });
  const dir = await Deno.makeTempDir();
  const config = configOf(nats.url, receiver.url);
  const start = (name: string) =>
    startServer("brain", config, dir, `node_id = "${name}"\ndrain_timeout_ms = 60_000`);
  const brains = [await start("b0"), await start("b1")];
  const spine = await openSpine(configFrom({ nats: { urls: [nats.url] } }), {
    ...{ log, now: Date.now },
  });
  try {
    const marks = await spine.keyValue("ARQON_HOOKS");
    const began = async (key: string[]) => await marks.get(key) !== undefined;
    await until("rooms are told of", () => began(["acme", "~rooms", "since"]));
    await until("the hook has begun", () => began(["acme", "rooms"]));
    const rooms = await spine.keyValue("ARQON_ROOMS", { unwatched: true });
    const maker = new Maker(spine, rooms);
    for (let kill = 0; kill <= KILLS; kill++) {
      const before = maker.epochs.size;
      while (maker.epochs.size < before + BIRTHS) await maker.make();
      if (kill === KILLS) break;
      const whose = kill % 2;
      await brains[whose]!.stop("SIGKILL");
      brains[whose] = await start(`b${whose}`);
    }
    const left = async () => (await rooms.keys(["acme"])).length;
    await until("all have ended", async () => await left() === 0, 120_000);
    await until("all is told", () => judge(receiver, maker).length === 0, 120_000)
      .catch(() => assert.deepEqual(judge(receiver, maker), []));
    assert.ok(maker.epochs.size >= (KILLS + 1) * BIRTHS);
    assert.deepEqual(receiver.problems, []);
  } finally {
    for (const brain of brains) await brain.stop();
    await spine.drain();
    await Deno.remove(dir, { recursive: true });
  }
});
