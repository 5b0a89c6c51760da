/** A reducer in Rust with a migration and a schema takes over a room of one in AssemblyScript. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { deploy, rollBack, storeModule } from "./testing/deploys.ts";
import { applied, call, ENGINES, entriesOf, eventsWhen } from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

Deno.test("a module in Rust migrates another one's counts, once, and accepts what its schema allows", async () => {
  await using world = await ENGINES["embedded"]!({ modules: { counter: builtReducer("counter") } });
  const brain = await world.start("a");
  for (const user of ["ann", "bob"]) await applied(brain, "counter", "add", { data: "5", user });
  const tally = builtReducer("tally_rust");
  await storeModule(brain, tally);
  await deploy(brain, "counter", tally);
  // Without a call: a room in memory is migrated all the same.
  const last = (await eventsWhen(brain, "counter", 3)).at(-1);
  assert.deepEqual([last?.type, last?.data], ["taken-over", "10"]);
  assert.match(String(await call(brain, "counter", "add", { data: "x" })), /^400 .*as JSON/);
  assert.match(String(await call(brain, "counter", "reset", { role: "admin" })), /^404 .*"reset"/);
  assert.equal((await applied(brain, "counter", "add", { data: " 2 " })).answer, 12);
  const entries = await entriesOf(brain, "counter");
  assert.deepEqual(entries.map(({ kind }) => kind), ["command", "command", "migrate", "command"]);
  // The previous module finds none of its values, and has no schema.
  await rollBack(brain, "counter");
  const counted = async () => (await applied(brain, "counter", "add", { data: "1" })).answer;
  await until("the previous module", async () => await counted() === 1);
});
