/** A room with a reducer that is erased while its Brain has it in memory, also while it is called. */
import assert from "node:assert/strict";
import {
  applied,
  call,
  ENGINES,
  type WorldBrain,
} from "../brain/reducers/testing/reducer_world.ts";
import { pace } from "../shared/testing/pace.ts";
import { dataStores } from "../shield/data/stores.ts";

const OPTIONS = {
  modules: {
    counter: Deno.readFileSync(
      new URL("../policies/build/reducers/counter.wasm", import.meta.url),
    ),
  },
  reducer: { snapshot_entries: 5, history_snapshots: 4 },
  brain: { reducer_idle_ms: 3_600_000 },
};
const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };

async function erase({ spine }: WorldBrain): Promise<void> {
  const logs = { has: () => true, of: (tenant: string) => spine.log(tenant, RETENTION) };
  for (const store of dataStores({ spine, logs, blocks: [], asker: undefined })) {
    await store.erase({ tenant: "t", room: "counter" }, () => Promise.resolve(undefined));
  }
}

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a Brain that lets an erased room go stores nothing of it`, async () => {
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

  Deno.test(`${engine}: a room that is erased while it is called begins anew`, async () => {
    await using world = await open(OPTIONS);
    const brain = await world.start("a");
    for (let round = 0; round < 5; round++) {
      for (let at = 0; at < 23; at++) await applied(brain, "counter", "add", { data: "1" });
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
      const { answer } = await applied(brain, "counter", "add", { data: "1" });
      assert.ok(Number(answer) <= since + 1, `round ${round}: ${answer} after ${since} calls`);
      await erase(brain);
    }
  });
}
