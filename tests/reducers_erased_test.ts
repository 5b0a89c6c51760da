/** A room with a reducer that is erased while its Brain has it in memory, also during calls. */
import assert from "node:assert/strict";
import {
  applied,
  call,
  ENGINES,
  entriesOf,
  eventsOf,
  eventsWhen,
  messagesOf,
  metric,
  type WorldBrain,
} from "../brain/reducers/testing/reducer_world.ts";
import type { PastAsk } from "../shared/records/reducer_past.ts";
import type { DurableLog } from "../shared/spine/contract/durable_log.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { overriding } from "../shared/testing/overriding.ts";
import { pace } from "../shared/testing/pace.ts";
import { found, until } from "../shared/testing/until.ts";
import { dataStores } from "../shield/data/stores.ts";

const built = (name: string) =>
  Deno.readFileSync(new URL(`../policies/build/reducers/${name}.wasm`, import.meta.url));
const OPTIONS = {
  modules: { counter: built("counter"), auction: built("auction") },
  reducer: { snapshot_entries: 5, history_snapshots: 4 },
  brain: { reducer_idle_ms: 3_600_000 },
};
const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };

function storesOf({ spine }: WorldBrain) {
  const logs = { has: () => true, of: (tenant: string) => spine.log(tenant, RETENTION) };
  return dataStores({ spine, now: Date.now, logs, blocks: [], asker: undefined });
}

async function erase(brain: WorldBrain, room = "counter"): Promise<void> {
  for (const store of storesOf(brain)) {
    await store.erase({ tenant: "t", room }, () => Promise.resolve(undefined));
  }
}

/** A Spine whose logs append to these rooms only after `before`. */
function appendingAfter(rooms: readonly string[], before: () => Promise<void>) {
  return (spine: Spine): Spine => {
    const log: Spine["log"] = async (tenant_id, retention) => {
      const durable = await spine.log(tenant_id, retention);
      const append: DurableLog["append"] = async (room, ...rest) => {
        if (rooms.includes(room)) await before();
        return await durable.append(room, ...rest);
      };
      const appendAll: DurableLog["appendAll"] = async (room, ...rest) => {
        if (rooms.includes(room)) await before();
        return await durable.appendAll(room, ...rest);
      };
      return overriding(durable, { append, appendAll });
    };
    return overriding(spine, { log });
  };
}

for (const [engine, open] of Object.entries(ENGINES)) {
  for (const slow of ["counter", "counter~values"]) {
    Deno.test(`${engine}: what is first published in ${slow} after its erasure does not stay`, async () => {
      await using world = await open({ ...OPTIONS, rooms: { reducer_visible: ["total"] } });
      const reached = Promise.withResolvers<void>();
      const erased = Promise.withResolvers<void>();
      const through = appendingAfter([slow], () => {
        reached.resolve();
        return erased.promise;
      });
      const brain = await world.start("a", undefined, through);
      const last = call(brain, "counter", "add", { data: "1" });
      await reached.promise;
      await erase(brain);
      erased.resolve();
      await last;
      await until(
        "the Brain to find the room erased",
        async () => await metric(brain, "brain_reducer_conflicts_total") > 0,
      );
      assert.deepEqual(await messagesOf(brain, slow), []);
    });

    Deno.test(`${engine}: what is published in ${slow} while the erasure reads it does not stay`, async () => {
      await using world = await open({ ...OPTIONS, rooms: { reducer_visible: ["total"] } });
      const reached = Promise.withResolvers<void>();
      const read = Promise.withResolvers<void>();
      let is_held = false;
      const through = appendingAfter([slow], () => {
        if (is_held) reached.resolve();
        return is_held ? read.promise : Promise.resolve();
      });
      const brain = await world.start("a", undefined, through);
      const add = () => applied(brain, "counter", "add", { data: "1" });
      const stored = (count: number) =>
        until(`${count} messages`, async () => (await messagesOf(brain, slow)).length === count);
      await add();
      await stored(1);
      let last: Promise<unknown> | undefined;
      let passes = 0;
      const log: Spine["log"] = async (tenant_id, retention) => {
        const durable = await brain.spine.log(tenant_id, retention);
        const erase: DurableLog["erase"] = async (room, offsets) => {
          const pass = room === slow ? passes++ : -1;
          if (pass === 1) {
            read.resolve();
            await stored(2);
          }
          const erased = await durable.erase(room, offsets);
          if (pass === 0) {
            await add();
            await stored(1);
            is_held = true;
            last = call(brain, "counter", "add", { data: "1" });
            await reached.promise;
          }
          return erased;
        };
        return overriding(durable, { erase });
      };
      await erase({ ...brain, spine: overriding(brain.spine, { log }) });
      await last;
      assert.deepEqual(await messagesOf(brain, slow), []);
    });
  }

  Deno.test(`${engine}: a Brain that evicts an erased room stores nothing of it`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    for (let at = 0; at < 8; at++) await applied(brain, "counter", "add", { data: "1" });
    await erase(brain);
    const other = await world.start("b");
    await brain.service.drain();
    const objects = await other.spine.objects("ARQON_REDUCER_OBJECTS");
    const names = (await objects.list()).map(({ name }) => name);
    assert.deepEqual(names.filter((name) => /^(snapshot|points)-/.test(name)), []);
  });

  Deno.test(`${engine}: a snapshot that is being written while its room is erased is not left`, async () => {
    const reducer = { snapshot_entries: 1, history_snapshots: 4 };
    await using world = await open({ ...OPTIONS, reducer });
    const brain = await world.start("a");
    const objects = await brain.spine.objects("ARQON_REDUCER_OBJECTS");
    const records = await brain.spine.keyValue("ARQON_REDUCERS");
    for (let round = 0; round < 20; round++) {
      await applied(brain, "counter", "add", { data: "1" });
      const last = call(brain, "counter", "add", { data: "1" });
      await pace(round % 5);
      await erase(brain);
      await last;
      // A call after the erasure has recreated the room.
      const names = (await objects.list()).map(({ name }) => name);
      if ((await records.keys(["t"])).length === 0) {
        assert.deepEqual(names.filter((name) => /^(snapshot|points)-/.test(name)), []);
      }
      await erase(brain);
    }
  });

  Deno.test(`${engine}: the past of a fork is not that of a later room with its source's name`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    const past = async (room_id: string, ask: PastAsk) =>
      JSON.parse(await brain.service.past({ tenant_id: "t", room_id }, ask));
    const show = async (offset: number) => {
      const ask = { prefix: "total", after: "", limit: 1, offset };
      const { values } = await past("counter-b", { action: "show", ...ask });
      return values[0]?.value.text;
    };
    const fork = (room_id: string, source: string, offset: number) =>
      past(room_id, { action: "fork", source, with_timers: true, offset });
    for (let at = 0; at < 12; at++) await applied(brain, "counter", "add", { data: "1" });
    await fork("counter-b", "counter", 7);
    assert.equal((await applied(brain, "counter-b", "add", { data: "1" })).answer, 8);
    assert.equal(await show(3), "3");
    await erase(brain);
    await assert.rejects(show(3), /is not kept/);
    for (let at = 0; at < 12; at++) await applied(brain, "counter", "add", { data: "100" });
    await assert.rejects(show(3), /is not kept/);
    await assert.rejects(fork("counter-c", "counter-b", 3), /is not kept/);
    assert.equal(await show(8), "8");
  });

  Deno.test(`${engine}: the answer about a user says that the user's calls stay`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    for (let at = 0; at < 3; at++) {
      await applied(brain, "counter", "add", { data: "1", user: "bob" });
    }
    const messages = storesOf(brain).find(({ name }) => name === "messages")!;
    const stays = async (user: string) =>
      (await messages.stock({ tenant: "t", user }))?.stays ?? "";
    assert.match(await stays("bob"), /calls to reducers in counter/);
    for (const other of ["bo", "ob"]) assert.equal(await stays(other), "", other);
    const whose = { tenant: "t", user: "bob" };
    await messages.erase(whose, () => Promise.resolve(undefined));
    assert.match(await stays("bob"), /calls to reducers/);
    const lines = await Array.fromAsync(messages.lines(whose));
    assert.ok(!lines.some((line) => line.includes("~reducer")), "others' calls are beside them");
  });

  Deno.test(`${engine}: the log of a room's calls is erased with its room, and not by its own name`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    for (let at = 0; at < 3; at++) await applied(brain, "counter", "add", { data: "1" });
    const count = async () => (await entriesOf(brain, "counter")).length;
    const before = await count();
    await erase(brain, "counter~reducer");
    assert.deepEqual([await count(), before > 0], [before, true]);
    const messages = storesOf(brain).find(({ name }) => name === "messages")!;
    const { stays } = (await messages.stock({ tenant: "t", room: "counter~reducer" }))!;
    assert.match(stays!, /calls to reducers in counter/);
    const next = await world.start("b");
    world.turn("b");
    assert.equal((await applied(next, "counter", "add", { data: "1" })).answer, 4);
    await erase(next);
    assert.equal((await applied(next, "counter", "add", { data: "1" })).answer, 1);
  });

  Deno.test(`${engine}: an event that is erased right after it was published does not come back`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    const next = await world.start("b");
    await applied(brain, "auction", "open", { data: "3600000" });
    const [event] = await eventsWhen(brain, "auction", 1);
    const messages = storesOf(brain).find(({ name }) => name === "messages")!;
    const whose = { tenant: "t", room: "auction", offset: event!.offset };
    assert.equal(await messages.erase(whose, () => Promise.resolve(undefined)), 1);
    await brain.kill();
    world.turn("b");
    await applied(next, "auction", "bid", { data: "5", user: "bob" });
    const [bid] = await eventsWhen(next, "auction", 1);
    assert.notEqual(bid!.message_id, event!.message_id);
    assert.equal((await eventsOf(next, "auction")).length, 1);
  });

  Deno.test(`${engine}: timers of an erased room write nothing`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    await applied(brain, "auction", "open", { data: "10000" });
    await eventsWhen(brain, "auction", 1);
    await erase(brain, "auction");
    world.ahead_ms = 60_000;
    const overtaken = () => metric(brain, "brain_reducer_conflicts_total");
    await until("the timer to be due", async () => await overtaken() > 0);
    assert.deepEqual(await eventsOf(brain, "auction"), []);
    assert.deepEqual(await messagesOf(brain, "auction~reducer"), []);
  });

  Deno.test(`${engine}: a room that is erased while it is called begins again`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    // A Brain that reads the room while it is erased refuses calls for a moment (docs/data.md).
    const taken = (data = "1") =>
      found("the room takes a call", async () => {
        const outcome = await call(brain, "counter", "add", { data });
        if (typeof outcome !== "string") return outcome;
        assert.match(outcome, /^503 log-unavailable/);
      });
    const most = 1_000_000;
    for (let round = 0; round < 10; round++) {
      await taken(String(most));
      for (let at = 0; at < 23; at++) await taken();
      let since = 0;
      let ends = false;
      const calls = async () => {
        for (; !ends; since++) await call(brain, "counter", "add", { data: "1" });
      };
      const callers = [calls(), calls()];
      await pace(20);
      await erase(brain);
      await pace(20);
      ends = true;
      await Promise.all(callers);
      const { answer } = await taken();
      assert.ok(Number(answer) <= since + 1, `round ${round}: ${answer} after ${since} calls`);
      const totals = (await eventsOf(brain, "counter")).map(({ data }) => Number(data));
      assert.deepEqual(totals.filter((total) => total >= most), [], "of the erased room");
      await erase(brain);
    }
  });
}
