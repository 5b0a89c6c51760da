/** Another program comes into force in rooms that are called meanwhile: between two entries, once, or not at all. */
import assert from "node:assert/strict";
import { found, until } from "../../shared/testing/until.ts";
import { deploy, rollBack, storeModule, SUM } from "./testing/deploys.ts";
import { applied, call, ENGINES, entriesOf, eventsWhen, metric } from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

const counter = builtReducer("counter");
const rust = builtReducer("counter_rust");

type Brain = Parameters<typeof metric>[0];
const switches = (brain: Brain, outcome: string) =>
  metric(brain, "brain_reducer_switches_total", { outcome });
const loads = (brain: Brain, outcome: string) =>
  metric(brain, "brain_reducer_deploys_total", { outcome });
const kindsOf = async (brain: Brain) => (await entriesOf(brain, "counter")).map(({ kind }) => kind);

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a module that is deployed comes between two entries, and goes again`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    await applied(brain, "counter", "add", { data: "0" });
    const calls = Array.from({ length: 200 }, async (_, at) => {
      if (at === 100) {
        await storeModule(brain, rust);
        await deploy(brain, "counter", rust);
      }
      return (await applied(brain, "counter", "add", { data: "1", id: `c${at}` })).answer;
    });
    const answers = (await Promise.all(calls)).map(Number).sort((one, other) => one - other);
    assert.deepEqual(answers, answers.map((_, at) => at + 1));
    await until("loaded", async () => await loads(brain, "loaded") === 1);
    assert.equal((await applied(brain, "counter", "add", { data: "1" })).answer, 201);
    assert.equal(await switches(brain, "taken"), 1);
    // Without a call: the room is migrated all the same.
    await storeModule(brain, SUM);
    await deploy(brain, "counter", SUM);
    const moved = (await eventsWhen(brain, "counter", 203)).at(-1);
    assert.deepEqual([moved?.type, moved?.data], ["moved", "201"]);
    assert.equal((await applied(brain, "counter", "any")).answer, 201);
    await rollBack(brain, "counter");
    await until("rolled back", async () => await loads(brain, "loaded") === 3);
    assert.equal((await applied(brain, "counter", "add", { data: "5" })).answer, 5);
    assert.deepEqual((await kindsOf(brain)).filter((kind) => kind === "migrate").length, 1);
    // A new owner replays each entry by its own program, and continues with the deployed one.
    const other = await world.start("b");
    world.turn("b");
    assert.equal((await applied(other, "counter", "add", { data: "1" })).answer, 6);
    assert.equal(await switches(other, "taken"), 0);
    await rollBack(other, "counter");
    await until("of the configuration", async () => await loads(other, "loaded") === 2);
    assert.equal((await applied(other, "counter", "add", { data: "1" })).answer, 7);
    assert.equal(await switches(other, "taken"), 1);
  });

  Deno.test(`${engine}: a room that a program cannot migrate keeps the previous one`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    await applied(brain, "counter", "reset", { role: "admin" });
    await storeModule(brain, SUM);
    await deploy(brain, "counter", SUM);
    await until("refused", async () => await switches(brain, "refused") === 1);
    assert.equal((await applied(brain, "counter", "add", { data: "3" })).answer, 3);
    assert.deepEqual(await kindsOf(brain), ["command", "migrate", "command"]);
    assert.ok(brain.lines.some((line) => /could not migrate a room/.test(line)), "it is logged");
    // Another Brain reads this from storage, and does not try again.
    const other = await world.start("b");
    world.turn("b");
    assert.equal((await applied(other, "counter", "add", { data: "4" })).answer, 7);
    assert.equal(await switches(other, "refused"), 0);
    // Deployed again: the room now has what it lacked.
    await deploy(other, "counter", SUM);
    await eventsWhen(other, "counter", 4);
    assert.equal((await applied(other, "counter", "any")).answer, 7);
  });

  Deno.test(`${engine}: a module that cannot be loaded changes nothing until it can`, async () => {
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    assert.equal((await applied(brain, "counter", "add", { data: "1" })).answer, 1);
    await deploy(brain, "counter", SUM);
    await until("failed", async () => await loads(brain, "failed") > 0);
    assert.equal((await applied(brain, "counter", "add", { data: "1" })).answer, 2);
    // A Brain that starts reads the room's program from its log; a new room does not start with an old module.
    const other = await world.start("b");
    world.turn("b");
    assert.equal((await applied(other, "counter", "add", { data: "1" })).answer, 3);
    assert.equal(await switches(other, "taken"), 0);
    await storeModule(brain, SUM);
    await eventsWhen(other, "counter", 4);
    assert.equal((await applied(other, "counter", "any")).answer, 3);
    assert.match(String(await call(other, "counter", "any")), /object/);
  });
}

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a Brain that goes in the middle of a switch leaves a room that was switched once`, async () => {
    await using world = await open({ modules: { counter } });
    let brain = await world.start("a");
    await storeModule(brain, SUM);
    let seen = 0;
    for (let round = 0; round < 3; round++) {
      const before = brain;
      const next = await world.start(`b${round}`);
      const ids = Array.from({ length: 40 }, (_, at) => `${round}-${at}`);
      const running = ids.map((id) => call(before, "counter", "add", { data: "1", id }));
      await running[3];
      await deploy(next, "counter", SUM);
      if (round > 0) await running[9];
      world.turn(`b${round}`);
      if (engine === "nats") await before.kill();
      await Promise.all(running);
      const { answer } = await found("migrated", async () => {
        const outcome = await call(next, "counter", "any");
        return typeof outcome === "string" ? undefined : outcome;
      });
      // The log, read without a reducer: the entries before the one switch of this round.
      const entries = (await entriesOf(next, "counter")).slice(seen);
      const at = entries.findIndex(({ kind }) => kind === "migrate");
      assert.ok(at > 3, `entry ${at}`);
      assert.equal(entries.filter(({ kind }) => kind === "migrate").length, 1);
      const added = entries.slice(0, at).map((entry) => entry.kind === "command" ? entry.id : "");
      assert.equal(answer, new Set(added.filter((id) => id !== "")).size);
      await rollBack(next, "counter");
      const add = () => applied(next, "counter", "add", { data: "0" });
      await until("rolled back", async () => (await add()).answer === 0);
      seen = (await entriesOf(next, "counter")).length;
      brain = next;
    }
  });
}
