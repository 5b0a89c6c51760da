/** The past of rooms on both engines: shown, forked, trimmed and repaired. */
import assert from "node:assert/strict";
import type { ArqonError } from "@arqon/proto";
import type { PastAsk } from "../../shared/records/reducer_past.ts";
import { decodeRecord } from "../../shared/records/reducer_record.ts";
import { until } from "../../shared/testing/until.ts";
import { unpackSnapshot } from "./state/snapshot.ts";
import {
  applied,
  call,
  ENGINES,
  eventsOf,
  eventsWhen,
  messagesOf,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

const OPTIONS = {
  modules: { counter: builtReducer("counter"), auction: builtReducer("auction") },
  reducer: { snapshot_entries: 5, history_snapshots: 4 },
  brain: { reducer_idle_ms: 3_600_000 },
};

async function past(brain: WorldBrain, room_id: string, ask: PastAsk) {
  return JSON.parse(await brain.service.past({ tenant_id: "t", room_id }, ask));
}

const show = (brain: WorldBrain, room_id: string, place: { offset?: number; time_ms?: number }) =>
  past(brain, room_id, { action: "show", prefix: "", after: "", limit: 100, ...place });

interface Shown {
  readonly values: readonly { key: { text: string }; value: { text: string } }[];
}
const total = ({ values }: Shown) => values.find(({ key }) => key.text === "total")?.value.text;
const fork = (brain: WorldBrain, room_id: string, source: string, offset?: number) =>
  past(brain, room_id, { action: "fork", source, with_timers: true, ...(offset && { offset }) });

async function add(brain: WorldBrain, room_id: string, times: number): Promise<void> {
  for (let at = 0; at < times; at++) await applied(brain, room_id, "add", { data: "1" });
}

/** Where a text occurs in the stored data of the room, its events aside. */
async function placesOf(brain: WorldBrain, text: string): Promise<string[]> {
  const has = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes).includes(text);
  const messages = await messagesOf(brain, "counter~reducer");
  const objects = await brain.spine.objects("ARQON_REDUCER_OBJECTS");
  const stored = await Promise.all(
    (await objects.list()).map(async ({ name }) =>
      unpackSnapshot(await objects.get(name) ?? new Uint8Array())
    ),
  );
  return [
    ...(messages.some(({ payload }) => has(payload)) ? ["log"] : []),
    ...(stored.some(has) ? ["snapshots"] : []),
  ];
}

Deno.test("a tenant with many questions about the past leaves room for another's", async () => {
  await using world = await ENGINES["embedded"]!(OPTIONS);
  const brain = await world.start("a");
  const asked = (tenant_id: string) => {
    const ask = { action: "show", prefix: "", after: "", limit: 1 } as const;
    return brain.service.past({ tenant_id, room_id: "counter" }, ask).then(
      () => "shown",
      ({ reason }: ArqonError) => reason,
    );
  };
  const outcomes = await Promise.all(["greedy", "greedy", "greedy", "greedy", "calm"].map(asked));
  assert.deepEqual(outcomes, ["shown", "shown", "shown", "too-many-pending", "shown"]);
});

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a room is shown as it was after each entry, and shared with another one`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    await add(brain, "counter", 23);
    for (let offset = 0; offset <= 23; offset++) {
      const shown = await show(brain, "counter", { offset });
      assert.equal(shown.offset, offset);
      assert.equal(total(shown), offset === 0 ? undefined : String(offset));
      assert.equal(shown.last, 23);
      if (offset === 0) continue;
      assert.deepEqual([shown.entry.command, shown.entry.verdict], ["add", "applied"]);
      const change = shown.changes.find(({ key }: Shown["values"][0]) => key.text === "total");
      assert.equal(change.after.text, String(offset));
      assert.equal(change.before?.text, offset === 1 ? undefined : String(offset - 1));
    }
    assert.equal(total(await show(brain, "counter", {})), "23");
    assert.equal(total(await show(brain, "counter", { time_ms: Date.now() + 1_000 })), "23");
    assert.equal((await show(brain, "counter", { time_ms: 1 })).offset, 0);
    await assert.rejects(show(brain, "counter", { offset: 24 }), /has no entry 24 yet/);

    assert.equal((await fork(brain, "counter-b", "counter", 12)).offset, 12);
    await assert.rejects(fork(brain, "counter-b", "counter"), /counter-b has begun already/);
    await assert.rejects(fork(brain, "auction", "counter"), /different reducers/);
    await assert.rejects(fork(brain, "counter-c", "counter", 99), /no entry 99 yet/);
    await assert.rejects(fork(brain, "counter-c", "counter-d"), /counter-d has no entry: nobody/);
    // The owner of the fork reads its past from the source until the fork has a snapshot of its own.
    const other = await world.start("b");
    world.turn("b");
    const { entry, answer } = await applied(other, "counter-b", "add", { data: "5" });
    assert.deepEqual([entry, answer], [13, 17]);
    assert.equal(total(await show(other, "counter-b", { offset: 7 })), "7");
    assert.equal(total(await show(other, "counter-b", { offset: 13 })), "17");
    assert.equal(total(await show(other, "counter", {})), "23");
    const events = await eventsWhen(other, "counter-b", 1);
    assert.deepEqual(events.map(({ message_id, data }) => [message_id, data]), [["13.1", "17"]]);
    await add(other, "counter-b", 12);
    assert.equal((await fork(other, "counter-c", "counter-b", 14)).offset, 14);
    world.turn("a");
    assert.equal((await applied(brain, "counter-c", "add", { data: "1" })).answer, 19);
    assert.equal(total(await show(brain, "counter-c", { offset: 3 })), "3");
    assert.equal((await applied(brain, "counter-b", "add", { data: "1" })).answer, 30);
    assert.equal((await eventsOf(brain, "counter")).length, 23);
  });

  Deno.test(`${engine}: a room's past is removed, and its state stays`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    await add(brain, "counter", 23);
    const kept = await past(brain, "counter", { action: "trim", before: 17 });
    assert.ok(kept.offset > 0 && kept.offset <= 17 && kept.messages > 0, JSON.stringify(kept));
    await assert.rejects(show(brain, "counter", { offset: kept.offset - 1 }), /is not kept/);
    for (let offset = kept.offset + 1; offset <= 23; offset++) {
      assert.equal(total(await show(brain, "counter", { offset })), String(offset));
    }
    const all = await past(brain, "counter", { action: "trim" });
    assert.equal(all.offset, 23);
    // The remaining messages have no entry.
    assert.equal((await messagesOf(brain, "counter~reducer")).length, 1);
    const objects = await brain.spine.objects("ARQON_REDUCER_OBJECTS");
    const snapshots = async () =>
      (await objects.list()).filter(({ name }) => name.startsWith("snapshot-"));
    assert.equal((await snapshots()).length, 1);
    assert.equal((await applied(brain, "counter", "add", { data: "1" })).answer, 24);
    const other = await world.start("b");
    world.turn("b");
    assert.equal((await applied(other, "counter", "add", { data: "1" })).answer, 25);
    await assert.rejects(show(other, "counter", { offset: 22 }), /is not kept/);
    assert.equal(total(await show(other, "counter", { offset: 24 })), "24");
    // A fork without a snapshot, since nobody reads it, keeps its source's past.
    world.turn("nobody");
    await fork(other, "counter-b", "counter", 24);
    await until("its record is known", async () => {
      try {
        await past(other, "counter", { action: "trim" });
        return false;
      } catch (error) {
        return /counter-b began with the past of counter/.test(String(error));
      }
    });
  });

  Deno.test(`${engine}: a room without any past is shared as it is, with the program that it has`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    await add(brain, "counter", 12);
    assert.equal((await past(brain, "counter", { action: "trim" })).offset, 12);
    assert.equal((await fork(brain, "counter-b", "counter")).offset, 12);
    const { entry, answer } = await applied(brain, "counter-b", "add", { data: "5" });
    assert.deepEqual([entry, answer], [13, 17]);
    assert.equal(total(await show(brain, "counter", {})), "12");
  });

  Deno.test(`${engine}: a fork whose source lost its past is a source from its own snapshots on`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    await add(brain, "counter", 8);
    await fork(brain, "counter-b", "counter", 7);
    await add(brain, "counter-b", 8);
    // Until the Brain knows of that snapshot, the fork keeps the past.
    await until(
      "a trim",
      () => past(brain, "counter", { action: "trim" }).then(() => true, () => false),
    );
    await assert.rejects(
      fork(brain, "counter-c", "counter-b", 6),
      /what counter-b was .* not kept/,
    );
    // Its own snapshot has the state it began with.
    assert.equal((await fork(brain, "counter-c", "counter-b", 7)).offset, 7);
    const { entry, answer } = await applied(brain, "counter-c", "add", { data: "1" });
    assert.deepEqual([entry, answer], [8, 8]);
    for (const offset of [7, 8, 15]) {
      assert.equal(total(await show(brain, "counter-b", { offset })), String(offset));
    }
  });

  Deno.test(`${engine}: a fork no longer needs its source after its first call, or a moment after its creation`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    await add(brain, "counter", 12);
    await fork(brain, "counter-b", "counter", 3);
    await fork(brain, "counter-c", "counter", 4);
    assert.equal((await applied(brain, "counter-b", "add", { data: "5" })).answer, 8);
    await until("a snapshot of the fork that nobody has called", async () => {
      const records = await brain.spine.keyValue("ARQON_REDUCERS");
      const stored = await records.get(["t", "counter-c"]);
      return decodeRecord(stored!.value)?.snapshot !== "";
    });
    // The source continues until its log and snapshots have nothing of that time.
    const log = await brain.spine.log("t", {
      history_size: 10_000,
      history_ttl_seconds: 604_800,
      replicas: undefined,
    });
    await log.trim("counter~reducer", 1);
    await add(brain, "counter", 12);
    await assert.rejects(show(brain, "counter", { offset: 4 }), /is not kept/);
    const other = await world.start("b");
    world.turn("b");
    const added = await applied(other, "counter-b", "add", { data: "1" });
    assert.deepEqual([added.entry, added.answer], [5, 9]);
    assert.equal((await applied(other, "counter-c", "add", { data: "1" })).answer, 5);
    assert.equal(total(await show(other, "counter-b", { offset: 4 })), "8");
  });

  Deno.test(`${engine}: a user whom a reducer's command has removed is in no log and snapshot after a trim`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    for (let at = 0; at < 12; at++) {
      await applied(brain, "counter", "add", { data: "1", user: at % 3 === 0 ? "zoe-q" : "bob-q" });
    }
    assert.deepEqual(await placesOf(brain, "zoe-q"), ["log", "snapshots"]);
    await applied(brain, "counter", "reset", { role: "admin", user: "root-q" });
    await applied(brain, "counter", "add", { data: "3", user: "bob-q" });
    await past(brain, "counter", { action: "trim" });
    assert.deepEqual(await placesOf(brain, "zoe-q"), []);
    assert.deepEqual(await placesOf(brain, "bob-q"), ["snapshots"]);
    assert.equal((await applied(brain, "counter", "add", { data: "1" })).answer, 4);
  });

  Deno.test(`${engine}: a room that has lost entries continues if an admin accepts the loss`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    await add(brain, "counter", 23);
    await eventsWhen(brain, "counter", 23);
    assert.deepEqual(await past(brain, "counter", { action: "repair" }), { lost: null });
    // The newest snapshot is gone, and all of the log but its last messages.
    const objects = await brain.spine.objects("ARQON_REDUCER_OBJECTS");
    const stored = (await objects.list()).filter(({ name }) => name.startsWith("snapshot-"));
    const offsetOf = (name: string) => Number(name.split("-")[2]);
    const [newest, before] = stored.map(({ name }) => name)
      .sort((one, two) => offsetOf(two) - offsetOf(one));
    await objects.delete(newest!);
    const log = await brain.spine.log("t", {
      history_size: 10_000,
      history_ttl_seconds: 604_800,
      replicas: undefined,
    });
    await log.trim("counter~reducer", 1);
    const other = await world.start("b");
    world.turn("b");
    assert.match(String(await call(other, "counter", "add")), /^503 log-unavailable/);
    const { lost, offset } = await past(other, "counter", { action: "repair" });
    assert.deepEqual([lost.from, lost.to, offset], [offsetOf(before!) + 1, 23, 24]);
    const { entry, answer } = await applied(other, "counter", "add", { data: "1" });
    // The repair is an entry.
    assert.deepEqual([entry, answer], [25, offsetOf(before!) + 1]);
    const events = await eventsWhen(other, "counter", 24);
    assert.equal(events.at(-1)?.message_id, "25.1");
    assert.equal(new Set(events.map(({ message_id }) => message_id)).size, 24);
    world.turn("a");
    assert.equal((await applied(brain, "counter", "add", { data: "1" })).entry, 26);
    assert.deepEqual(await past(brain, "counter", { action: "repair" }), { lost: null });
  });
}
