/** A room's log that does not reach back to its first entry is folded from a snapshot that connects to it. */
import assert from "node:assert/strict";
import { readEnvelope } from "@arqon/proto";
import { createReducer } from "../../brain/reducers/guest/reducer_guest.ts";
import { type Batch, decodeBatch } from "../../brain/reducers/log/batch.ts";
import { ROOM_BOUNDS } from "../../brain/reducers/state/room_state.ts";
import { SUM } from "../../brain/reducers/testing/deploys.ts";
import {
  applied,
  ENGINES,
  messagesOf,
  type WorldBrain,
} from "../../brain/reducers/testing/reducer_world.ts";
import { decodePoints, snapshotName } from "../../shared/records/reducer_points.ts";
import { decodeRecord } from "../../shared/records/reducer_record.ts";
import { found } from "../../shared/testing/until.ts";
import {
  beginnings,
  firstOf,
  foldRoom,
  MissingEntries,
  type RoomSource,
  stateOf,
} from "./room_fold.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";
import { meterReducer } from "../../wasm/reducer/reducer_check.ts";
import { rehearse } from "./rehearsal.ts";

const counter = builtReducer("counter");
const CALLS = 14;

const batchesOf = async (brain: WorldBrain) =>
  (await messagesOf(brain, "counter~reducer")).map(({ payload }) =>
    decodeBatch(readEnvelope(payload).event!.data)
  );

Deno.test("a module that cannot migrate the room as it was is refused, though it can migrate it as it is", async () => {
  await using world = await ENGINES.embedded!({ modules: { counter } });
  const brain = await world.start("a");
  await applied(brain, "counter", "reset", { role: "admin" });
  world.ahead_ms += 60_000;
  const since_ms = Date.now() + world.ahead_ms - 30_000;
  await applied(brain, "counter", "add", { data: "1" });
  const objects = await brain.spine.objects("ARQON_REDUCER_OBJECTS");
  const batches = await batchesOf(brain);
  const source: RoomSource = {
    room_id: "counter",
    snapshots: [],
    origin: undefined,
    lost: 0,
    get: (name) => objects.get(name),
    batches: () => ReadableStream.from(batches),
  };
  const metered = meterReducer(SUM, 16);
  const guest = createReducer(await WebAssembly.compile(metered.bytes), metered, 1_000_000);
  const candidate = { guest, bounds: ROOM_BOUNDS, migrates: true, schema: undefined };
  const { entries, refused } = await rehearse(source, candidate, since_ms);
  assert.equal(entries, 0);
  assert.match(refused, /^as it was before entry 2, so no call was checked: rejected 409 total/);
  assert.equal((await rehearse(source, candidate, since_ms + 3_600_000)).refused, "");
});

Deno.test("a log that lacks its oldest entries is folded from a snapshot, one with a hole is refused", async () => {
  await using world = await ENGINES.embedded!({
    modules: { counter },
    reducer: { snapshot_entries: 4 },
    // Only snapshots of every fourth entry.
    brain: { reducer_idle_ms: 600_000 },
  });
  const brain = await world.start("a");
  for (let at = 0; at < CALLS; at++) await applied(brain, "counter", "add", { data: "1" });
  const records = await brain.spine.keyValue("ARQON_REDUCERS");
  const objects = await brain.spine.objects("ARQON_REDUCER_OBJECTS");
  const record = await found("two snapshots", async () => {
    const stored = await records.get(["t", "counter"]);
    const record = stored && decodeRecord(stored.value);
    return record !== undefined && record.previous !== "" ? record : undefined;
  });
  const { points } = decodePoints((await objects.get(record.points))!)!;
  const all = await batchesOf(brain);
  const sourceOf = (batches: readonly Batch[]): RoomSource => ({
    room_id: "counter",
    snapshots: points.map((point) => ({
      name: snapshotName("t", "counter", point),
      offset: point.offset,
      at_ms: point.time_ms,
      position: 0,
    })),
    origin: undefined,
    lost: 0,
    get: (name) => objects.get(name),
    batches: () => ReadableStream.from(batches),
  });
  const whole = await beginnings(sourceOf(all));
  assert.equal(whole.first, 1);
  assert.deepEqual(whole.begins.map(({ offset }) => offset)[0], 0);
  const oldest = whole.begins.at(-2);
  const newest = whole.begins.at(-1);
  assert.ok(oldest!.offset > 0 && oldest!.offset < newest!.offset);
  const chainOf = async (source: RoomSource, begin: typeof oldest) => {
    let state = (await stateOf(source, begin!))!;
    for await (const folded of foldRoom(source, state)) state = folded.state;
    return state.chain.toHex();
  };
  const chain = await chainOf(sourceOf(all), whole.begins[0]);
  const rest = sourceOf(all.filter(({ after }) => after >= oldest!.offset));
  const known = await beginnings(rest);
  assert.deepEqual(known.begins.map(({ offset }) => offset), [oldest!.offset, newest!.offset]);
  for (const begin of known.begins) assert.equal(await chainOf(rest, begin), chain);
  // The log begins after the older snapshot, so only the newer one is usable.
  const less = await beginnings(sourceOf(all.filter(({ after }) => after >= newest!.offset)));
  assert.deepEqual(less.begins.map(({ offset }) => offset), [newest!.offset]);
  const begin = await firstOf({ ...sourceOf(all), lost: newest!.offset }, whole.begins);
  assert.equal(begin!.state.offset, newest!.offset, "nothing goes on from before lost entries");
  const hole = sourceOf(all.filter(({ after }) => after !== 5));
  await assert.rejects(
    chainOf(hole, whole.begins[0]),
    (error) =>
      error instanceof MissingEntries &&
      /entries 6 to \d+ of the log are missing/.test(error.message),
  );
});
