/**
 * Rooms with reducers on both engines: calls, events, refusals of reducers, takeovers. Visible values of rooms with
 * reducers: published, read, and continued by a new owner; other values are not visible.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { moduleOf } from "./testing/guest_text.ts";
import { HOSTILE } from "./testing/hostile_reducers.ts";
import {
  applied,
  call,
  ENGINES,
  entriesOf,
  eventsOf,
  eventsWhen,
  messagesOf,
  metric,
  ONE_ENGINE,
  pageOf,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";
import { readEnvelope } from "@arqon/proto";
import { deploy, storeModule, SUM } from "./testing/deploys.ts";

const counter = builtReducer("counter");

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: calls are applied in one order, and their events are in the room`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    const all = await Promise.all(
      Array.from(
        { length: 300 },
        (_, at) =>
          applied(brain, "counter", "add", { data: "2", user: `u${at % 7}`, id: `c${at}` }),
      ),
    );
    assert.deepEqual(all.map(({ entry }) => entry), Array.from(all, (_, at) => at + 1));
    assert.equal(all.at(-1)?.answer, 600);
    const again = await applied(brain, "counter", "add", { data: "2", user: "u0", id: "c0" });
    assert.deepEqual(again, { entry: 301, repeats: 1, answer: 2 });
    const refused = await call(brain, "counter", "reset");
    assert.equal(refused, "403 call-rejected: Call rejected: only an admin resets");
    const unknown = await call(brain, "counter", "nothing");
    assert.match(String(unknown), /^404 call-rejected/);
    const events = await eventsWhen(brain, "counter", 300);
    assert.deepEqual(events.map(({ data }) => data), all.map((_, at) => String(2 * (at + 1))));
    assert.deepEqual(events.map(({ message_id }) => message_id), all.map((_, at) => `${at + 1}.1`));
    assert.match(
      String(await call(brain, "other", "add")),
      /^400 invalid-command.*other has no reducer/,
    );
    const long = await call(brain, `counter-${"x".repeat(50)}`, "add");
    assert.match(String(long), /^400 invalid-command.*longer than 56 characters/);
  });

  Deno.test(`${engine}: a new owner continues where the previous one was, also in the middle of a call`, async () => {
    await using world = await open({ modules: { counter }, reducer: { snapshot_entries: 40 } });
    let brain = await world.start("a");
    let sum = 0;
    for (let turn = 0; turn < 5; turn++) {
      const calls = Array.from({ length: 60 }, (_, at) => `${turn}-${at}`);
      const before = brain;
      const running = calls.map((id) => call(before, "counter", "add", { data: "1", id }));
      await running[5];
      // The next one starts during the first, and gets no answer from it.
      const next = await world.start(`b${turn}`);
      world.turn(`b${turn}`);
      if (engine === "nats") await before.kill();
      const first = await Promise.all(running);
      for (const [at, id] of calls.entries()) {
        const outcome = await applied(next, "counter", "add", { data: "1", id });
        const expected = first[at];
        if (typeof expected === "object") assert.equal(outcome.answer, expected?.answer, id);
      }
      sum += calls.length;
      assert.equal((await applied(next, "counter", "add", { data: "0" })).answer, sum);
      brain = next;
    }
    // The log, read without a reducer: each call once, however often it was sent.
    const firsts = new Map<string, number>();
    for (const entry of await entriesOf(brain, "counter")) {
      if (entry.kind !== "command" || entry.id === "" || firsts.has(entry.id)) continue;
      firsts.set(entry.id, entry.offset);
    }
    assert.equal(firsts.size, sum);
    const events = await eventsWhen(brain, "counter", sum + 5);
    const counted = events.map(({ data }) => Number(data));
    assert.deepEqual(counted, counted.toSorted((one, other) => one - other), "in their order");
    assert.equal(new Set(events.map(({ message_id }) => message_id)).size, events.length);
    assert.equal(events.length, sum + 5, "each once");
    const called = new Set(events.map(({ message_id }) => Number(message_id.split(".")[0])));
    for (const [id, offset] of firsts) assert.ok(called.has(offset), `the event of ${id}`);
  });

  Deno.test(`${engine}: a module that fails changes nothing, and its room continues`, async () => {
    const modules = Object.fromEntries(
      HOSTILE.map(([name, guest]) => [name.replaceAll(" ", "_"), moduleOf(guest)]),
    );
    await using world = await open({ modules });
    const brain = await world.start("a");
    for (const [name, , fault] of HOSTILE) {
      const room = name.replaceAll(" ", "_");
      for (let time = 0; time < 2; time++) {
        const outcome = String(await call(brain, room, "do"));
        const code = fault === "bounds" ? 413 : 503;
        assert.match(outcome, new RegExp(`^${code} call-rejected: .*reducer-${fault}`), name);
      }
      assert.deepEqual(await eventsOf(brain, room), [], name);
    }
    assert.equal(await metric(brain, "brain_reducer_entries_total", { verdict: "fault" }), 28);
    assert.equal(await metric(brain, "brain_reducer_thread_ends_total"), 0);
  });

  Deno.test(`${engine}: a room closes its auction itself, also when its Brain has gone, and the next one's clock is three days behind`, async () => {
    await using world = await open({
      modules: { auction: builtReducer("auction") },
      brain: { reducer_idle_ms: 1 },
    });
    const brain = await world.start("a");
    await applied(brain, "auction", "open", { data: "600000", user: "sam" });
    await applied(brain, "auction", "bid", { data: "100", user: "ann" });
    await until("let go", async () => await metric(brain, "brain_reducer_rooms") === 0);
    world.set_ms = -3 * 86_400_000;
    const other = await world.start("b");
    world.ahead_ms = 700_000;
    world.turn("b");
    const events = await eventsWhen(other, "auction", 4);
    assert.deepEqual(events.slice(1).map(({ type, data, to }) => [type, data, to]), [
      ["bid", "100", ""],
      ["closed", "ann", ""],
      ["won", "100", "user:ann"],
    ]);
    assert.match(String(await call(other, "auction", "bid", { data: "200" })), /is closed/);
    await until("let go", async () => await metric(other, "brain_reducer_rooms") === 0);
    assert.match(String(await call(other, "auction", "bid", { data: "200" })), /is closed/);
  });

  Deno.test(`${engine}: a room's timer goes by its log, whatever the clocks of its owners show`, async () => {
    await using world = await open({ modules: { auction: builtReducer("auction") } });
    const brain = await world.start("a");
    const other = await world.start("b");
    world.set_ms = 7_200_000;
    await applied(brain, "auction", "open", { data: "600000", user: "sam" });
    world.set_ms = 0;
    await applied(brain, "auction", "bid", { data: "100", user: "ann" });
    world.set_ms = 7_200_000;
    world.turn("b");
    await applied(other, "auction", "bid", { data: "200", user: "bob" });
    world.set_ms = -7_200_000;
    world.ahead_ms = 700_000;
    const events = await eventsWhen(other, "auction", 5);
    assert.deepEqual(events.slice(1).map(({ type }) => type), ["bid", "bid", "closed", "won"]);
  });
}

interface ValueChanges {
  readonly after: number;
  readonly to: number;
  readonly changes: readonly [entry: number, key: string, value: string | null][];
}

/** The messages of the room of values. */
async function changesIn(brain: WorldBrain, room_id: string): Promise<ValueChanges[]> {
  return (await messagesOf(brain, `${room_id}~values`)).map(({ payload }) =>
    JSON.parse(new TextDecoder().decode(readEnvelope(payload).event?.data))
  );
}

/** The values of a subscriber that received only these messages: each continues the one before. */
function valuesFrom(all: readonly ValueChanges[]) {
  const values = new Map<string, string>();
  let version = 0;
  for (const { after, to, changes } of all) {
    assert.equal(after, version, "nothing is left out or published twice");
    for (const [entry, key, value] of changes) {
      assert.ok(entry > version && entry <= to);
      if (value === null) values.delete(key);
      else values.set(key, value);
    }
    version = to;
  }
  return { version, values: Object.fromEntries(values) };
}

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: changes of visible values are published in order and once, whoever has the room`, async () => {
    await using world = await open({
      modules: { counter },
      reducer: { snapshot_entries: 25 },
      rooms: { reducer_visible: ["total"] },
    });
    let brain = await world.start("a");
    let sum = 0;
    for (let turn = 0; turn < 4; turn++) {
      const before = brain;
      const ids = Array.from({ length: 30 }, (_, at) => `${turn}-${at}`);
      const running = ids.map((id) => call(before, "counter", "add", { data: "1", id }));
      await running[5];
      const next = await world.start(`b${turn}`);
      world.turn(`b${turn}`);
      if (engine === "nats") await before.kill();
      await Promise.all(running);
      for (const id of ids) await applied(next, "counter", "add", { data: "1", id });
      sum += ids.length;
      const page = await pageOf(next, "counter");
      assert.ok(typeof page === "object");
      assert.deepEqual(page.values, [["total", String(sum)]]);
      const received = valuesFrom(await changesIn(next, "counter"));
      assert.deepEqual(received, { version: page.version, values: { total: String(sum) } });
      brain = next;
    }
    await applied(brain, "counter", "reset", { role: "admin" });
    // A page is made after all changes before it are published.
    await pageOf(brain, "counter");
    assert.deepEqual(valuesFrom(await changesIn(brain, "counter")).values, {});
    const all = JSON.stringify(await changesIn(brain, "counter"));
    assert.ok(!all.includes("user/"), "what is not visible is not published");
    assert.ok((await eventsOf(brain, "counter")).every(({ type }) => type !== "values"));
    assert.ok(await metric(brain, "brain_reducer_value_messages_total") > 0);
    assert.ok(await metric(brain, "brain_reducer_value_pages_total") > 0);
  });

  Deno.test(`${engine}: forks and migrations are published as any other change`, async () => {
    await using world = await open({
      modules: { counter },
      rooms: { reducer_visible: ["total", "sum"] },
    });
    const brain = await world.start("a");
    await applied(brain, "counter", "add", { data: "7" });
    const ask = { action: "fork", source: "counter", with_timers: true, offset: 1 } as const;
    await brain.service.past({ tenant_id: "t", room_id: "counter-f" }, ask);
    const page = await pageOf(brain, "counter-f");
    assert.ok(typeof page === "object");
    assert.deepEqual(page.values, [["total", "7"]], "a fork begins with what its source has");
    await applied(brain, "counter-f", "add", { data: "1" });
    await pageOf(brain, "counter-f");
    const { after, changes } = (await changesIn(brain, "counter-f")).at(-1)!;
    assert.equal(after, page.version, "and goes on from there");
    assert.deepEqual(changes.map(([, key, value]) => [key, value]), [["total", "8"]]);
    assert.deepEqual(valuesFrom(await changesIn(brain, "counter")).values, { total: "7" });
    await storeModule(brain, SUM);
    await deploy(brain, "counter", SUM);
    await until("migrated", async () => {
      const { values } = valuesFrom(await changesIn(brain, "counter"));
      return JSON.stringify(values) === `{"sum":"7"}`;
    });
  });

  Deno.test(`${engine}: nothing is shown and nothing published where the class does not say so`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    const outcome = await applied(brain, "counter", "add", { data: "1" });
    assert.deepEqual(outcome, { entry: 1, answer: 1 });
    assert.match(
      String(await pageOf(brain, "counter")),
      /^400 invalid-command.*no reducer_visible/,
    );
    assert.match(String(await pageOf(brain, "other")), /^400 invalid-command/);
    assert.deepEqual(await changesIn(brain, "counter"), []);
  });

  Deno.test(`${engine}: values are read in pages below a prefix, and never those beside it`, async () => {
    await using world = await open({
      modules: { counter },
      rooms: { reducer_visible: ["user/b", "user/bob", "user/c"] },
    });
    const brain = await world.start("a");
    for (const user of ["ann", "bea", "bob", "cid", "dan"]) {
      await applied(brain, "counter", "add", { data: "7", user });
    }
    const keys = async (request: { prefix?: string; after?: string }) => {
      const page = await pageOf(brain, "counter", request);
      return typeof page === "object" ? page.values.map(([key]) => key).join() : page;
    };
    assert.equal(await keys({}), "user/bea,user/bob,user/cid");
    assert.equal(await keys({ prefix: "user/bo" }), "user/bob");
    assert.equal(await keys({ after: "user/bea" }), "user/bob,user/cid");
    assert.equal(await keys({ prefix: "user/a" }), "");
    assert.equal(await keys({ prefix: "total" }), "");
    const [entry] = await Promise.all([
      applied(brain, "counter", "add", { data: "1", user: "ann" }),
    ]);
    assert.equal(entry.visible, undefined, "it changed nothing that is visible");
    const seen = await applied(brain, "counter", "add", { data: "1", user: "bob" });
    assert.equal(seen.visible, true);
  });
}
