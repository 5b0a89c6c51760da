/**
 * A Brain is killed at each of its writes while it forks, trims, repairs or migrates a room, or stores a call.
 * Afterwards the room has its old or its new state, a second try succeeds, and no object is left that no room names.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import type { PastAsk } from "../../shared/records/reducer_past.ts";
import {
  DEPLOYMENTS_BUCKET,
  encodeDeployment,
  notDeployed,
  withModule,
} from "../../shared/records/reducer_deployment.ts";
import { decodeRecord } from "../../shared/records/reducer_record.ts";
import { loadProgram, programOf, type RunnableProgram, storeProgram } from "./log/program.ts";
import { forkRoom } from "./room/fork.ts";
import type { RoomParts } from "./room/loaded_room.ts";
import { repairRoom, trimRoom } from "./past_service.ts";
import { until } from "../../shared/testing/until.ts";
import { storeModule, SUM } from "./testing/deploys.ts";
import { callAt, partsOf, placeOf } from "./testing/lone_room.ts";
import { DyingBrain } from "./testing/dying_parts.ts";
import {
  applied,
  call,
  ENGINES,
  entriesOf,
  eventsOf,
  eventsWhen,
  ONE_ENGINE,
  type ReducerWorld,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { ReducerHost } from "./thread/host.ts";
import { shownBy } from "./visible/shown.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

const counter = builtReducer("counter");
const CALLS = 5;
const LIMITS = { history_snapshots: 4, history_bytes: 4_194_304 };
const VISIBLE = ["total", "sum"];
const OPTIONS = {
  modules: { counter },
  reducer: { snapshot_entries: 2, ...LIMITS },
  brain: { reducer_idle_ms: 3_600_000 },
  rooms: { reducer_visible: VISIBLE },
};
const SHOWN = shownBy(VISIBLE);

/**
 * The stores of the Brain that dies, and the surviving Brains: the first owns the rooms before the kill, the other one
 * afterwards.
 */
interface Bus {
  readonly world: ReducerWorld;
  readonly before: WorldBrain;
  readonly after: WorldBrain;
  readonly parts: RoomParts;
  readonly program: RunnableProgram;
}

async function openBus(world: ReducerWorld, host: ReducerHost): Promise<Bus> {
  const before = await world.start("a");
  const after = await world.start("b");
  const parts = await partsOf(before, host);
  const [{ name = "" } = {}] = (await parts.objects.list()).filter(({ name }) =>
    name.startsWith("program-")
  );
  const program = await loadProgram(parts.objects, name.slice(8));
  return { world, before, after, program, parts };
}

async function past({ after }: Bus, room_id: string, ask: PastAsk) {
  return JSON.parse(await after.service.past({ tenant_id: "t", room_id }, ask));
}

/** The total of a counter; null if it has none; a text if it cannot be read. */
async function totalOf(bus: Bus, room_id: string): Promise<number | null | string> {
  try {
    const ask = { action: "show", prefix: "total", after: "", limit: 1 } as const;
    const { values: [total] } = await past(bus, room_id, ask);
    return total === undefined ? null : Number(total.value.text);
  } catch (error) {
    return (error as ArqonError).reason;
  }
}

/** Makes a room of this many calls that no Brain has in memory afterwards. */
async function roomOf({ world, before }: Bus, room_id: string): Promise<void> {
  world.turn("a");
  for (let at = 0; at < CALLS; at++) await applied(before, room_id, "add", { data: "1" });
  await eventsWhen(before, room_id, CALLS);
  world.turn("nobody");
}

/** Kills a Brain after each write of a job, and before the first; returns the number of writes. */
async function dieAtEach(
  { world }: Bus,
  act: (dying: DyingBrain, number: number) => Promise<unknown>,
  check: (number: number) => Promise<void>,
): Promise<number> {
  for (let writes = 0;; writes++) {
    const dying = new DyingBrain(writes);
    await act(dying, writes).catch((error) => assert.ok(dying.is_dead, error));
    world.turn("b");
    await check(writes);
    if (!dying.is_dead) return writes - 1;
  }
}

/** The objects of a room, and those that it does not need. */
async function objectsOf({ parts }: Bus, room_id: string) {
  const stored = await parts.records.get(["t", room_id]);
  const record = decodeRecord(stored!.value)!;
  const [, hash = ""] = record.snapshot.split("-");
  const names = (await parts.objects.list()).map(({ name }) => name)
    .filter((name) => name.includes(`-${hash}-`));
  return { names, named: [record.snapshot, record.points] };
}

async function forkAtEach(bus: Bus): Promise<number> {
  await roomOf(bus, "counter");
  const ask = { action: "fork", source: "counter", offset: 3, with_timers: true } as const;
  return await dieAtEach(
    bus,
    (dying, number) =>
      forkRoom(placeOf(`counter-f${number}`), placeOf("counter"), ask, dying.parts(bus.parts)),
    async (number) => {
      const room = `counter-f${number}`;
      const total = await totalOf(bus, room);
      assert.ok(total === null || total === 3, `${room}: ${total}`);
      const again = past(bus, room, ask);
      if (total === null) assert.equal((await again).offset, 3);
      else await assert.rejects(again, /has begun already/);
      assert.deepEqual(await applied(bus.after, room, "add", { data: "1" }), {
        entry: 4,
        answer: 4,
        visible: true,
      });
      assert.equal(await totalOf(bus, "counter"), CALLS);
    },
  );
}

async function trimAtEach(bus: Bus): Promise<number> {
  const { program: { id: program } } = bus;
  return await dieAtEach(bus, async (dying, number) => {
    await roomOf(bus, `counter-t${number}`);
    const own = { limits: LIMITS, program, shown: SHOWN };
    await trimRoom(placeOf(`counter-t${number}`), undefined, dying.parts(bus.parts), own);
  }, async (number) => {
    const room = `counter-t${number}`;
    assert.equal(await totalOf(bus, room), CALLS);
    await past(bus, room, { action: "trim" });
    assert.equal(await totalOf(bus, room), CALLS);
    const { names, named } = await objectsOf(bus, room);
    assert.deepEqual(names.toSorted(), named.toSorted(), "nothing of the past is left");
    const { messages } = await (await bus.parts.openLog("t")).read(`${room}~reducer`, {
      after: 0,
      limit: 100,
      max_bytes: 1_048_576,
    });
    assert.equal(messages.length, 1);
    const { entry, answer } = await applied(bus.after, room, "add", { data: "1" });
    assert.deepEqual([entry, answer], [CALLS + 1, CALLS + 1]);
    assert.equal((await eventsWhen(bus.after, room, CALLS + 1)).length, CALLS + 1);
  });
}

async function repairAtEach(bus: Bus): Promise<number> {
  const options = { limits: LIMITS, shown: SHOWN };
  return await dieAtEach(bus, async (dying, number) => {
    const at = placeOf(`counter-r${number}`);
    await roomOf(bus, at.room_id);
    const stored = await bus.parts.records.get(["t", at.room_id]);
    await bus.parts.objects.delete(decodeRecord(stored!.value)!.snapshot);
    await (await bus.parts.openLog("t")).trim(at.log_room_id, 1);
    await repairRoom(at, dying.parts(bus.parts), options);
  }, async (number) => {
    const room = `counter-r${number}`;
    const { lost, offset } = await past(bus, room, { action: "repair" });
    if (lost !== null) assert.deepEqual([lost.from, lost.to, offset], [3, CALLS, CALLS + 1]);
    assert.equal(await totalOf(bus, room), 2);
    const { entry, answer } = await applied(bus.after, room, "add", { data: "1" });
    assert.deepEqual([entry, answer], [CALLS + 2, 3]);
    assert.deepEqual(await past(bus, room, { action: "repair" }), { lost: null });
  });
}

async function callAtEach(bus: Bus): Promise<number> {
  const call = { command: "add", data: "1", id: "once" };
  return await dieAtEach(bus, async (dying, number) => {
    await roomOf(bus, `counter-c${number}`);
    const own = { ...call, program: bus.program, history: LIMITS, shown: SHOWN };
    await callAt(placeOf(`counter-c${number}`), dying.parts(bus.parts), own);
  }, async (number) => {
    const room = `counter-c${number}`;
    const { entry, repeats = entry, answer } = await applied(bus.after, room, "add", call);
    assert.deepEqual([repeats, answer], [CALLS + 1, CALLS + 1]);
    const events = await eventsWhen(bus.after, room, CALLS + 1);
    assert.deepEqual(events.map(({ data }) => Number(data)), events.map((_, at) => at + 1));
  });
}

async function migrateAtEach(bus: Bus, next: RunnableProgram): Promise<number> {
  const rooms: string[] = [];
  const found = await dieAtEach(bus, async (dying, number) => {
    const room = `counter-m${number}`;
    rooms.push(room);
    await roomOf(bus, room);
    const call = { command: "any", data: "", id: "", program: next, migrates: true };
    const own = { ...call, history: LIMITS, shown: SHOWN };
    await callAt(placeOf(room), dying.parts(bus.parts), own);
  }, () => Promise.resolve(bus.world.turn("nobody")));
  await roomOf(bus, "counter-deployed");
  // Only now, since a Brain that knows of the deployment migrates every room.
  await storeModule(bus.after, SUM);
  const module = { module: next.module, at_ms: 1, by: "me" };
  const bucket = await bus.after.spine.keyValue(DEPLOYMENTS_BUCKET);
  const deployment = encodeDeployment(withModule(notDeployed("counter"), module));
  await bucket.update(["t", "counter-*"], deployment, 0);
  bus.world.turn("b");
  // The other program knows no such command.
  const isInForce = async () =>
    typeof await call(bus.after, "counter-deployed", "any") !== "string";
  await until("the module is compiled and in force", isInForce);
  for (const room of rooms) {
    assert.equal((await applied(bus.after, room, "any")).answer, CALLS);
    const kinds = (await entriesOf(bus.after, room)).map(({ kind }) => kind);
    assert.equal(kinds.filter((kind) => kind === "migrate").length, 1, room);
    const events = await eventsOf(bus.after, room);
    assert.equal(events.filter(({ type }) => type === "moved").length, 1, room);
  }
  return found;
}

/** A worker that dies once, when it has opened a room. */
class DyingHost extends ReducerHost {
  #dies = true;

  override async open(...asked: Parameters<ReducerHost["open"]>): ReturnType<ReducerHost["open"]> {
    const opened = await super.open(...asked);
    if (!this.#dies) return opened;
    this.#dies = false;
    throw new ArqonError("brain-unavailable");
  }
}

Deno.test("a repair skips a damaged snapshot, and fails if the worker dies", async () => {
  await using world = await ONE_ENGINE.embedded(OPTIONS);
  const host = new DyingHost(() => {});
  world.defer(() => Promise.resolve(host.end()));
  const bus = await openBus(world, host);
  const at = placeOf("counter");
  await roomOf(bus, at.room_id);
  const { records, objects } = bus.parts;
  const { snapshot } = decodeRecord((await records.get(["t", at.room_id]))!.value)!;
  await objects.put(snapshot, (await objects.get(snapshot))!.slice(0, -1));
  const repair = () => repairRoom(at, bus.parts, { limits: LIMITS, shown: SHOWN });
  await assert.rejects(repair, { reason: "brain-unavailable" });
  const { lost, offset } = await repair() as { lost: unknown; offset: number };
  assert.deepEqual([lost, offset], [null, CALLS]);
  world.turn("b");
  assert.equal(await totalOf(bus, at.room_id), CALLS);
});

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a Brain that dies at any write leaves no partial change, and the next one continues`, async () => {
    await using world = await open(OPTIONS);
    const host = new ReducerHost(() => {});
    world.defer(() => Promise.resolve(host.end()));
    const bus = await openBus(world, host);
    assert.ok(await forkAtEach(bus) >= 1);
    assert.ok(await trimAtEach(bus) >= 6);
    // Both engines get the same calls; the other cases need one engine only.
    if (engine === "nats") return;
    assert.ok(await repairAtEach(bus) >= 3);
    assert.ok(await callAtEach(bus) >= 5);
    const entry = { name: "counter", file: "counter", ...OPTIONS.reducer };
    const [reducer] = configFrom({ reducers: [entry] }).reducers;
    const next = programOf(reducer!, SUM, bus.after.spine.payload_bytes_max);
    await storeProgram(bus.parts.objects, next);
    assert.ok(await migrateAtEach(bus, next) >= 5);
  });
}
