/**
 * A room begins to need a module while it is being removed: either side is paused at each of its reads and writes while
 * the other one continues. Either the room has the module, or its call is refused and the next one gets it.
 */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { moduleName } from "../../../shared/records/reducer_record.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
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
import { ENGINES, messagesOf, type WorldBrain } from "../testing/reducer_world.ts";
import { HOUR_MS, Remover } from "../testing/remover.ts";
import { variantOf } from "../testing/variants.ts";
import { ReducerHost } from "../thread/host.ts";
import { SETTLE_MS } from "./module_removal.ts";
import { builtReducer } from "../../../shared/testing/reducers.ts";

const counter = builtReducer("counter");
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
