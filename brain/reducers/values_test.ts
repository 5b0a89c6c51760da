/**
 * Visible values of rooms with reducers: published, read, and continued by a new owner; other values are not visible.
 */
import assert from "node:assert/strict";
import { readEnvelope } from "@arqon/proto";
import { until } from "../../shared/testing/until.ts";
import { deploy, storeModule, SUM } from "./testing/deploys.ts";
import {
  applied,
  call,
  eventsOf,
  messagesOf,
  metric,
  ONE_ENGINE,
  pageOf,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

const counter = builtReducer("counter");

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
