/** Rooms that are read again: each entry by the program that applied it, or not at all. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { moduleOf } from "./testing/guest_text.ts";
import { WRITES } from "./testing/hostile_reducers.ts";
import { applied, call, eventsWhen, metric, ONE_ENGINE } from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: earlier entries are replayed by the earlier program`, async () => {
    const counter = builtReducer("counter");
    await using world = await open({ modules: { counter } });
    const brain = await world.start("a");
    for (let at = 0; at < 5; at++) await applied(brain, "counter", "add", { data: "2" });
    // This program counts nothing: replaying old entries by it would make another room.
    const other = await world.start("b", {
      counter: moduleOf({ apply: `${WRITES} (i32.const 0)` }),
    });
    world.turn("b");
    assert.deepEqual(await applied(other, "counter", "add", { data: "2" }), {
      entry: 6,
      answer: null,
    });
    const third = await world.start("c");
    world.turn("c");
    assert.deepEqual(await applied(third, "counter", "add", { data: "2" }), {
      entry: 7,
      answer: 12,
    });
    assert.equal((await eventsWhen(third, "counter", 6)).at(-1)?.data, "12");
  });

  Deno.test(`${engine}: a room whose program is missing is refused, and not recreated`, async () => {
    await using world = await open({ modules: { counter: builtReducer("counter") } });
    const brain = await world.start("a");
    await applied(brain, "counter", "add", { data: "2" });
    const objects = await brain.spine.objects("ARQON_REDUCER_OBJECTS");
    for (const { name } of await objects.list()) await objects.delete(name);
    const other = await world.start("b", { counter: moduleOf({ apply: `(i32.const 0)` }) });
    world.turn("b");
    assert.match(String(await call(other, "counter", "add")), /^503 log-unavailable.*not stored/);
    const failed = () => metric(other, "brain_reducer_loads_total", { outcome: "failed" });
    await until("a failure is counted", async () => await failed() > 0);
  });
}
