/**
 * The wall clock of a Brain is set forward by an hour and more, and back, while rooms are in use: each
 * keeps its state, its numbers and its lock, and whoever listens misses nothing. Real processes; the
 * machine's own clock stays as it is.
 */
import assert from "node:assert/strict";
import { roomState } from "@arqon/sdk/state";
import type { RoomEvent } from "@arqon/sdk/state";
import { connect } from "../sdk/typescript/mod.ts";
import type { Connection, Message } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startBusWith } from "./harness/bus.ts";
import type { TestBus } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { createWallClock } from "./wall_clock.ts";
import type { WallClock } from "./wall_clock.ts";

const ROOMS = Array.from({ length: 20 }, (_, index) => `room-${index}`);
const LOCKED = "room-0";
/** Rooms are swept four times within that, and each is written to meanwhile. */
const BRAIN = "[brain]\nidle_timeout_ms = 60_000\n";
const EMBEDDED = `${BRAIN}
[server]
host = "127.0.0.1"
drain_ms = 0
[ops]
host = "127.0.0.1"
[[rooms]]
room = "durable-*"
durable = true
`;
/** More than `[brain] idle_timeout_ms`, and than the lease of the lock. */
const STEP_S = 65 * 60;
/** For tokens that outlast the steps. */
const DAY_S = 86_400;
const LEASE_MS = 600_000;
/** While Brains agree on owners, commands are repeated. */
const PATIENT = { timeout_ms: 60_000 };

type Position = Pick<RoomEvent, "epoch" | "version">;

/** How often a Brain has gone through its rooms. */
async function sweeps(ops_url: string): Promise<number> {
  const page = await (await fetch(`${ops_url}/metrics`)).text();
  return Number(/^brain_room_sweeps_total(?:\{[^}]*\})? (\d+)$/m.exec(page)?.[1] ?? 0);
}

/** Somebody who writes to all rooms and has locked one, and somebody who hears every change. */
class Rooms {
  readonly #writer: Connection;
  readonly #reader: Connection;
  readonly #written = new Map<string, Position>();
  readonly #heard = new Map<string, Position>();
  readonly #missed: string[] = [];
  #fence: number | undefined;
  #count = 0;

  constructor(writer: Connection, reader: Connection) {
    this.#writer = writer;
    this.#reader = reader;
  }

  async begin(): Promise<void> {
    for (const room of ROOMS) {
      const heard = this.#reader.room(room).subscribe();
      await heard.ready;
      void this.#listen(room, heard);
    }
    await this.write();
    const lock = await this.#writer.room(LOCKED).lock({ ...PATIENT, ttl_ms: LEASE_MS });
    this.#fence = lock.fence;
    this.#written.set(LOCKED, lock);
  }

  /** One change of every room: the next version of the same epoch. */
  async write(): Promise<void> {
    const value = ++this.#count;
    for (const room of ROOMS) {
      const { epoch, version } = await roomState(this.#writer.room(room)).set("k", value, PATIENT);
      const before = this.#written.get(room);
      if (before !== undefined) {
        assert.deepEqual({ epoch, version }, { epoch: before.epoch, version: before.version + 1 });
      }
      this.#written.set(room, { epoch, version });
    }
  }

  /** Every room is as it was left, its lock is held, and every change was heard. */
  async check(): Promise<void> {
    const lost: string[] = [];
    for (const room of ROOMS) {
      const { epoch, version, state, lock } = await roomState(this.#reader.room(room)).get(
        undefined,
        PATIENT,
      );
      const wanted = { ...this.#written.get(room) };
      const is_kept = epoch === wanted.epoch && version === wanted.version &&
        state.k === this.#count;
      if (!is_kept) lost.push(`${room} has version ${version} of ${epoch}`);
      if (room === LOCKED && lock?.fence !== this.#fence) lost.push(`${room} has no lock`);
    }
    assert.deepEqual(lost, [], `${ROOMS.length - lost.length} of ${ROOMS.length} rooms are kept`);
    const isHeard = (room: string) =>
      this.#heard.get(room)?.version === this.#written.get(room)?.version;
    await until("every change is heard", () => ROOMS.every(isHeard));
    assert.deepEqual(this.#missed, []);
  }

  async #listen(room: string, heard: AsyncIterable<Message>): Promise<void> {
    for await (const message of heard) {
      if (message.type === "ROOM_UPDATE") this.#heard.set(room, message.json<Position>());
      else this.#missed.push(`${room}: ${message.signal?.kind} ${message.signal?.reason}`);
    }
  }
}

/** Sets the clock forward twice. The first sweep that ends may have begun before the first step, the second one not. */
async function stepForward(clock: WallClock, ops_url: string, from_s: number): Promise<void> {
  for (const ahead_s of [from_s + STEP_S, from_s + 2 * STEP_S]) {
    const before = await sweeps(ops_url);
    await clock.set(ahead_s);
    await until("a sweep", async () => await sweeps(ops_url) > before);
  }
}

/** Asks for a stream that ends when nobody asks for it for less than a step. */
async function stream(bus: TestBus, token: string, method: string): Promise<number> {
  const { status, body } = await fetch(`${bus.http_url}/v1/streams/durable-stream`, {
    method,
    headers: { "authorization": `Bearer ${token}`, "stream-ttl": "600" },
  });
  await body?.cancel();
  return status;
}

Deno.test("embedded: a wall clock that is set by more than an hour takes no room or stream that is in use", async () => {
  const dir = await Deno.makeTempDir({ prefix: "arqon-clock-" });
  try {
    const clock = await createWallClock(dir);
    if (clock === undefined) return;
    const env = Object.entries(clock.env).map(([name, value]) => `${name}=${value}`);
    await using bus = await startBusWith(EMBEDDED, ["env", ...env]);
    const token = () => bus.tokenFor({ ttl_seconds: DAY_S });
    await using writer = await connect({ url: bus.url, token: await token() });
    await using reader = await connect({ url: bus.url, token: await token() });
    const rooms = new Rooms(writer, reader);
    await rooms.begin();
    assert.equal(await stream(bus, await token(), "PUT"), 201);
    await stepForward(clock, bus.ops_url, 0);
    assert.equal(await stream(bus, await token(), "HEAD"), 200);
    await rooms.check();
    await rooms.write();
    await clock.set(-STEP_S);
    await rooms.write();
    await rooms.check();
    await stepForward(clock, bus.ops_url, -STEP_S);
    await rooms.check();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("NATS: a Brain whose wall clock is set takes no room, neither its own nor one that it takes over", async () => {
  await using issuer = await createIssuer();
  const clock = await createWallClock(issuer.dir);
  if (clock === undefined) return;
  await using nats = await startNats({ jetstream: true });
  const config = `[nats]\nurls = ["${nats.url}"]\n${BRAIN}${issuer.config}`;
  const startBrain = (id: string, env = {}) =>
    startServer("brain", config, issuer.dir, `node_id = "${id}"`, 0, [], "", "", env);
  await using shield = await startServer("shield", config, issuer.dir, "drain_ms = 0");
  await using set = await startBrain("set", clock.env);
  await using right = await startBrain("right");
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  const open = async (sub: string) => await connect({ url, token: await issuer.tokenFor({ sub }) });
  await using writer = await open("ann");
  await using reader = await open("bob");
  const rooms = new Rooms(writer, reader);
  await rooms.begin();
  const ops_url = set.ready.ops_url ?? "";
  await stepForward(clock, ops_url, 0);
  await rooms.check();
  await rooms.write();
  const before = await sweeps(ops_url);
  // All rooms are those of the Brain that is ahead, which reads what the other one wrote.
  await right.stop("SIGKILL");
  await until("a sweep", async () => await sweeps(ops_url) > before);
  await rooms.check();
  await clock.set(0);
  await rooms.write();
  await stepForward(clock, ops_url, 0);
  await rooms.check();
});
