/** Entries of a log have the same outcome after prices changed, since their program names its prices. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { METER_VERSION } from "../../../wasm/metering/meter_costs.ts";
import { moduleOf } from "../testing/guest_text.ts";
import { callAt, partsOf, placeOf } from "../testing/lone_room.ts";
import { ENGINES, type WorldBrain } from "../testing/reducer_world.ts";
import { ReducerHost } from "../thread/host.ts";
import { loadProgram, nameOfProgram, programOf, storeProgram } from "./program.ts";

/** A command needs 20 pages: 328 fuel by the prices of version 5, 2,622 by those of version 6. */
const GROWS = moduleOf({ apply: "(drop (memory.grow (i32.const 20))) (i32.const 0)" });
const FUEL = 1_000;
const HISTORY = { history_snapshots: 4, history_bytes: 4_194_304, snapshot_entries: 1_000 };

function programNow({ spine }: WorldBrain) {
  const named = { name: "grows", file: "grows", fuel_limit: FUEL };
  const [entry] = configFrom({ reducers: [named] }).reducers;
  return programOf(entry!, GROWS, spine.payload_bytes_max);
}

async function withRooms(work: (brain: WorldBrain, host: ReducerHost) => Promise<void>) {
  await using world = await ENGINES["embedded"]!({ modules: { grows: GROWS } });
  const host = new ReducerHost(() => {});
  world.defer(() => Promise.resolve(host.end()));
  world.turn("nobody");
  await work(await world.start("a"), host);
}

/** Stores a program's text. Returns its id. */
async function storeText(
  { objects }: Awaited<ReturnType<typeof partsOf>>,
  text: readonly unknown[],
): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(text));
  const id = await sha256Hex(bytes);
  await objects.put(nameOfProgram(id), bytes);
  return id;
}

Deno.test("entries are replayed by the prices that they were applied by", async () => {
  await withRooms(async (brain, host) => {
    const parts = await partsOf(brain, host);
    const now = programNow(brain);
    await storeProgram(parts.objects, now);
    const bounds = Object.entries(now.bounds).sort();
    const first = [2, now.module, FUEL, now.memory_limit_pages, bounds, 5];
    const before = await loadProgram(parts.objects, await storeText(parts, first));
    assert.deepEqual([before.price_version, now.price_version], [5, METER_VERSION]);
    assert.notEqual(before.id, now.id);
    const ask = async (program: typeof now, id: string) => {
      const call = { program, command: "grow", data: "1", id, history: HISTORY };
      return await callAt(placeOf("grows"), parts, call).catch(String);
    };
    assert.match(await ask(before, "one"), /"entry":1/);
    // A replay has the same outcome, though the entry would be a fault today.
    assert.match(await ask(now, "two"), /reducer-fuel/);
    assert.match(await ask(before, "three"), /"entry":3/);
    assert.match(await ask(now, "four"), /reducer-fuel/);
  });
});

Deno.test("a program with unknown costs is not run", async () => {
  await withRooms(async (brain, host) => {
    const parts = await partsOf(brain, host);
    const now = programNow(brain);
    await storeProgram(parts.objects, now);
    const bounds = Object.entries(now.bounds).sort();
    const text = [2, now.module, FUEL, now.memory_limit_pages, bounds, METER_VERSION + 1];
    const id = await storeText(parts, text);
    await assert.rejects(loadProgram(parts.objects, id), (error) => {
      return error instanceof ArqonError && error.reason === "log-unavailable" &&
        error.message.includes("prices of version");
    });
  });
});
