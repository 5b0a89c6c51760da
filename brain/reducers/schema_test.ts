/** Calls that a module's schema forbids are refused before the log, by the program that would apply them. */
import assert from "node:assert/strict";
import { withRoomSchema } from "../../wasm/reducer/schema/room_schema.ts";
import { applied, call, entriesOf, metric, ONE_ENGINE } from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

const counter = builtReducer("counter");
const typed = (maximum: number) =>
  withRoomSchema(
    counter,
    new TextEncoder().encode(JSON.stringify({
      commands: { add: { data: { type: "integer", maximum } } },
    })),
  );

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: calls that a schema forbids are in no log, and earlier allowed answers are repeated`, async () => {
    await using world = await open({ modules: { counter: typed(100) } });
    const brain = await world.start("a");
    assert.equal(
      (await applied(brain, "counter", "add", { data: " 50.0 ", id: "one" })).answer,
      50,
    );
    const calls = Array.from(
      { length: 60 },
      (_, at) => call(brain, "counter", "add", { data: at % 2 === 0 ? "1" : "101", id: `c${at}` }),
    );
    for (const [at, outcome] of (await Promise.all(calls)).entries()) {
      if (at % 2 === 0) assert.equal(typeof outcome, "object", String(outcome));
      else {assert.match(
          String(outcome),
          /^400 call-rejected: .*data: expected at most 100, found 101/,
        );}
    }
    assert.match(
      String(await call(brain, "counter", "reset", { role: "admin" })),
      /^404 .*"reset"/,
    );
    assert.match(
      String(await call(brain, "counter", "add", { data: "many" })),
      /whole number as JSON/,
    );
    assert.equal(await metric(brain, "brain_reducer_forbidden_total"), 32);
    const entries = await entriesOf(brain, "counter");
    assert.equal(entries.length, 31);
    const [first] = entries;
    assert.equal(first?.kind === "command" && new TextDecoder().decode(first.data), "50");
    // Calls are judged message by message: the queue of one room does not hold up the process.
    const answered: string[] = [];
    const many = Array.from({ length: 600 }, async (_, at) => {
      const outcome = await call(brain, "counter", "add", { data: at < 599 ? "0" : "101" });
      answered.push(typeof outcome === "string" ? "forbidden" : "applied");
    });
    await Promise.all(many);
    assert.ok(answered.indexOf("forbidden") >= 300, answered.join());
    // Another Brain has a stricter schema: it checks the new call, and repeats the outcome of the old one.
    const other = await world.start("b", { counter: typed(10) });
    world.turn("b");
    assert.match(
      String(await call(other, "counter", "add", { data: "50" })),
      /at most 10, found 50/,
    );
    const again = await applied(other, "counter", "add", { data: "50", id: "one" });
    assert.deepEqual({ repeats: again.repeats, answer: again.answer }, { repeats: 1, answer: 50 });
    assert.equal((await applied(other, "counter", "add", { data: "10" })).answer, 90);
  });
}

Deno.test("a module with an invalid schema is refused before any call", async () => {
  const bad = withRoomSchema(counter, new TextEncoder().encode(`{"commands":{"add":{"data":{}}}}`));
  await using world = await ONE_ENGINE.embedded({ modules: { counter: bad } });
  await assert.rejects(world.start("a"), /counter: .*commands\.add\.data: it says nothing/);
});
