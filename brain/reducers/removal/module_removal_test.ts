/**
 * Unused modules are removed, and no others, on both engines. A room begins to need a module while it is being
 * removed: either side is paused at each of its reads and writes while the other one continues. Either the room has
 * the module, or its call is refused and the next one gets it.
 */
import assert from "node:assert/strict";
import {
  decodeDeployment,
  DEPLOYMENTS_BUCKET,
} from "../../../shared/records/reducer_deployment.ts";
import {
  decodeRemoval,
  moduleName,
  REDUCER_OBJECTS,
  REDUCERS_BUCKET,
  REMOVAL_KEY,
} from "../../../shared/records/reducer_record.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { found } from "../../../shared/testing/until.ts";
import { DyingBrain } from "../testing/dying_parts.ts";
import { deploy, rollBack, storeModule } from "../testing/deploys.ts";
import {
  applied,
  ENGINES,
  messagesOf,
  type ReducerWorld,
  type WorldBrain,
} from "../testing/reducer_world.ts";
import { HOUR_MS, Remover } from "../testing/remover.ts";
import { variantOf } from "../testing/variants.ts";
import { LEFT_MS, SETTLE_MS } from "./module_removal.ts";
import { builtReducer } from "../../../shared/testing/reducers.ts";
import { ArqonError, readEnvelope } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { decodeBatch } from "../log/batch.ts";
import {
  loadProgram,
  nameOfProgram,
  programOf,
  type RunnableProgram,
  storeProgram,
} from "../log/program.ts";
import type { RoomParts } from "../room/loaded_room.ts";
import { Gate } from "../testing/gate.ts";
import { callAt, partsOf, placeOf } from "../testing/lone_room.ts";
import { ReducerHost } from "../thread/host.ts";

const counter = builtReducer("counter");
const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };

async function modulesOf({ spine }: WorldBrain): Promise<Set<string>> {
  const names = (await (await spine.objects(REDUCER_OBJECTS)).list()).map(({ name }) => name);
  return new Set(names.flatMap((name) => name.startsWith("module-") ? [name.slice(7)] : []));
}

async function listed({ spine }: WorldBrain): Promise<readonly string[]> {
  const stored = await (await spine.keyValue(DEPLOYMENTS_BUCKET)).get(["t", "counter"]);
  return decodeDeployment(stored!.value)!.modules;
}

/** Deploys a module, and waits until it applied a call of the room. */
async function deployed(brain: WorldBrain, number: number): Promise<string> {
  const bytes = variantOf(counter, number);
  const module = await sha256Hex(bytes);
  await storeModule(brain, bytes);
  await deploy(brain, "counter", bytes);
  await found("in force", async () => {
    await applied(brain, "counter", "add", { data: "1" });
    return brain.lines.some((line) => line.includes(module)) || undefined;
  });
  // By the new module now.
  await applied(brain, "counter", "add", { data: "1" });
  return module;
}

/** Removes the room's past, as soon as the Brain knows that no fork needs it. */
const trim = ({ service }: WorldBrain) =>
  found("trimmed", async () => {
    const pending = service.past({ tenant_id: "t", room_id: "counter" }, { action: "trim" });
    return await pending.catch((error) => void assert.match(String(error), /no snapshot yet/));
  });

/** A Brain without state in memory can open the room, folded from the first kept entry. */
async function readAnew(world: ReducerWorld, brain_id: string): Promise<number> {
  const brain = await world.start(brain_id);
  world.turn(brain_id);
  const { answer } = await applied(brain, "counter", "add", { data: "0" });
  world.turn("a");
  return Number(answer);
}

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: modules that a log names stay, others are removed`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    const modules: string[] = [];
    for (let number = 0; number < 20; number++) modules.push(await deployed(brain, number));
    const file = await sha256Hex(counter);
    const remover = await Remover.open(brain, [file]);
    await remover.all();
    assert.deepEqual(await modulesOf(brain), new Set([file, ...modules]), "the log names all");
    const { answer } = await applied(brain, "counter", "add", { data: "0" });
    assert.equal(await readAnew(world, "b"), Number(answer));
    await trim(brain);
    await remover.after(HOUR_MS / 2);
    await remover.after(HOUR_MS - 1);
    assert.equal((await modulesOf(brain)).size, 21, "not for so long that it goes");
    await remover.after(1 + HOUR_MS / 4);
    assert.equal((await modulesOf(brain)).size, 21, "it is only said so yet");
    await remover.after(SETTLE_MS);
    // The last one is in force, and a rollback can reach 16.
    assert.deepEqual(await modulesOf(brain), new Set([file, ...modules.slice(3)]));
    assert.deepEqual(await listed(brain), modules.slice(3));
    const programs = (await (await brain.spine.objects(REDUCER_OBJECTS)).list())
      .filter(({ name }) => name.startsWith("program-"));
    assert.equal(programs.length, 18);
    assert.equal(await readAnew(world, "c"), Number(answer));
    // A removed module is deployed again as if it were new.
    assert.equal(await deployed(brain, 0), modules[0]);
    assert.equal(await readAnew(world, "d"), Number(answer) + 2);
  });

  Deno.test(`${engine}: modules and entries that a fork may read stay until it has its own snapshot`, async () => {
    await using world = await open({ modules: { counter }, reducer: { snapshot_entries: 1 } });
    const brain = await world.start("a");
    await applied(brain, "counter", "add", { data: "1" });
    const module = await deployed(brain, 0);
    await rollBack(brain, "counter");
    await found("forked", async () => {
      const fork = { action: "fork", source: "counter", with_timers: true } as const;
      const pending = brain.service.past({ tenant_id: "t", room_id: "counter-f" }, fork);
      // The fork's class has the module of the file, which the other class soon has again.
      return await pending.catch((error) => void assert.match(String(error), /different reducers/));
    });
    world.turn("nobody");
    await (await brain.spine.log("t", RETENTION)).trim("counter~reducer", 1);
    const remover = await Remover.open(brain, [await sha256Hex(counter)]);
    await remover.all();
    assert.ok((await modulesOf(brain)).has(module));
    world.turn("a");
    const calls = [1, 2, 3].map((at) => applied(brain, "counter-f", "add", { data: String(at) }));
    await Promise.all(calls);
    await applied(brain, "counter", "add", { data: "1" });
    await trim(brain);
    await remover.all();
    assert.ok(!(await modulesOf(brain)).has(module));
    assert.equal((await applied(brain, "counter-f", "add", { data: "0" })).entry > 3, true);
  });

  Deno.test(`${engine}: when something cannot be read, everything stays`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    await storeModule(brain, variantOf(counter, 7));
    const records = await brain.spine.keyValue(REDUCERS_BUCKET);
    await records.put(["t", "counter-broken"], new TextEncoder().encode("{}"));
    const remover = await Remover.open(brain, [await sha256Hex(counter)]);
    await remover.all();
    assert.equal((await modulesOf(brain)).size, 2);
    await records.delete(["t", "counter-broken"]);
    const deployments = await brain.spine.keyValue(DEPLOYMENTS_BUCKET);
    await deployments.put(["t", "counter-*"], new TextEncoder().encode("{}"));
    await remover.all();
    assert.equal((await modulesOf(brain)).size, 2);
    await deployments.delete(["t", "counter-*"]);
    await remover.all();
    assert.equal((await modulesOf(brain)).size, 1);
  });

  Deno.test(`${engine}: a removal begun by another Brain is finished once that one has surely ended`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    await storeModule(brain, variantOf(counter, 7));
    const file = await sha256Hex(counter);
    const dead = await Remover.open(brain, [file]);
    await dead.after(HOUR_MS);
    await dead.after(HOUR_MS);
    const soon = { unused_ms: 60_000 };
    const next = await Remover.open(brain, [file], (options) => ({ ...options, ...soon }));
    await next.after(60_000);
    for (const ms of [60_000, LEFT_MS - 60_001, SETTLE_MS]) {
      assert.equal((await modulesOf(brain)).size, 2);
      await next.after(ms);
    }
    assert.equal((await modulesOf(brain)).size, 2, "it may be at work yet");
    await next.after(60_000);
    await next.after(SETTLE_MS);
    assert.equal((await modulesOf(brain)).size, 1);
    // The Brain returns, and its mark is too old.
    await storeModule(brain, variantOf(counter, 7));
    await dead.after(LEFT_MS);
    assert.equal((await modulesOf(brain)).size, 2);
  });

  Deno.test(`${engine}: a module removed by a Brain that died before it reported so can be needed again`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    await storeModule(brain, variantOf(counter, 7));
    const file = await sha256Hex(counter);
    // Its mark and its removals are stored, and nothing more.
    const dying = new DyingBrain(2);
    const dead = await Remover.open(brain, [file], (options) => ({
      ...options,
      records: dying.dying(options.records),
      objects: dying.dying(options.objects),
    }));
    await dead.all();
    assert.deepEqual([dying.is_dead, (await modulesOf(brain)).size], [true, 1]);
    const records = await brain.spine.keyValue(REDUCERS_BUCKET);
    const marked = async () =>
      decodeRemoval((await records.get(REMOVAL_KEY))?.value).modules.length;
    const next = await Remover.open(brain, [file]);
    await next.after(HOUR_MS);
    assert.equal(await marked(), 1);
    await next.after(LEFT_MS + HOUR_MS);
    assert.equal(await marked(), 0);
  });
}

const HISTORY = { history_snapshots: 4, history_bytes: 4_194_304 };

interface Bus {
  readonly brain: WorldBrain;
  readonly parts: RoomParts;
  readonly file: string;
}

function programFor(number: number, { brain }: Bus): RunnableProgram {
  const [entry] = configFrom({ reducers: [{ name: "counter", file: "counter" }] }).reducers;
  return programOf(entry!, variantOf(counter, number), brain.spine.payload_bytes_max);
}

const callOf = (program: RunnableProgram, id: string) => ({
  program,
  command: "add",
  data: "1",
  id,
  history: HISTORY,
});

async function requireWhole(room_id: string, { brain, parts }: Bus): Promise<void> {
  for (const { payload } of await messagesOf(brain, `${room_id}~reducer`)) {
    const { entries, program } = decodeBatch(readEnvelope(payload).event?.data ?? new Uint8Array());
    if (entries.length > 0) await loadProgram(parts.objects, program);
  }
}

/** Runs both, paused at these operations. Returns whether there were such operations. */
async function inOrder(number: number, removes: number, calls: number, bus: Bus) {
  const { brain, parts, file } = bus;
  const room_id = `counter-${number}`;
  const program = programFor(number, bus);
  await storeProgram(parts.objects, program);
  const removing = new Gate(removes);
  const calling = new Gate(calls);
  const remover = await Remover.open(brain, [file], (options) => ({
    ...options,
    records: removing.through(options.records),
    deployments: removing.through(options.deployments),
    objects: removing.through(options.objects),
    openLog: async (tenant_id) => removing.through(await options.openLog(tenant_id)),
  }));
  await remover.removal.look();
  const removed = (async () => {
    for (const ms of [HOUR_MS, HOUR_MS, SETTLE_MS]) await remover.after(ms);
  })();
  await Promise.race([removing.reached, removed]);
  const own = {
    ...parts,
    records: calling.through(parts.records),
    objects: calling.through(parts.objects),
    openLog: async (tenant_id: string) => calling.through(await parts.openLog(tenant_id)),
  };
  const called = callAt(placeOf(room_id), own, callOf(program, "one")).catch((error) => {
    assert.ok(error instanceof ArqonError && error.reason === "brain-unavailable", error);
  });
  await Promise.race([calling.reached, called]);
  removing.open();
  await removed;
  calling.open();
  await called;
  await requireWhole(room_id, bus);
  await callAt(placeOf(room_id), parts, callOf(program, "two"));
  await requireWhole(room_id, bus);
  // The next pair starts from the same state as this one.
  await parts.records.delete(["t", room_id]);
  await parts.objects.delete(nameOfProgram(program.id));
  await parts.objects.delete(moduleName(program.module));
  return { removes: removing.is_reached, calls: calling.is_reached };
}

Deno.test("a room that begins to need a module during its removal has it, in every order", async () => {
  await using world = await ENGINES["embedded"]!({ modules: { counter } });
  const host = new ReducerHost(() => {});
  world.defer(() => Promise.resolve(host.end()));
  world.turn("nobody");
  const brain = await world.start("a");
  const bus = { brain, parts: await partsOf(brain, host), file: await sha256Hex(counter) };
  let number = 0, operations = 0;
  for (let removes = 0, more = true; more; removes++) {
    more = false;
    for (let calls = 0;; calls++) {
      const was = await inOrder(number++, removes, calls, bus);
      more ||= was.removes;
      if (!was.calls) break;
    }
    operations = removes;
  }
  assert.ok(operations > 8 && number > 60, `${operations} operations, ${number} orders`);
});
