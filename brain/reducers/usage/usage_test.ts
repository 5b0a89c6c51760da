/**
 * The fuel of rooms with reducers in the usage ledger: of calls, timers and deploys, each counted once, whoever replays
 * them.
 */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { configFrom } from "../../../shared/config/load.ts";
import { Lives } from "../../../shared/lives/lives.ts";
import { decodeMinute, type UsageMinute } from "../../../shared/usage/minute.ts";
import { runningKey, UsageStores } from "../../../shared/usage/usage_stores.ts";
import { deploy, storeModule } from "../testing/deploys.ts";
import { ONCE, PLAIN } from "../testing/guest_text.ts";
import {
  applied,
  entriesOf,
  ONE_ENGINE,
  type ReducerWorld,
  type WorldBrain,
} from "../testing/reducer_world.ts";

const usage = { enabled: true, flush_ms: 20 };
/** The cost of one message with entries beside the commands' own. */
const MESSAGE_UNITS = 250_000;

/** The tenant's units in the ledger, by node, class of rooms and reducer; a duplicated block counts once. */
async function unitsIn({ spine }: WorldBrain, tenant_id = "t"): Promise<Record<string, number>> {
  const place = new UsageStores({ config: configFrom({ usage }), spine, lives: new Lives(spine) });
  const all = new Map<string, UsageMinute>();
  const add = (node_id: string, value: Uint8Array) => {
    const minute = decodeMinute(value)!;
    all.set(`${node_id} ${minute.life_ms} ${minute.seq}`, minute);
  };
  const running = await place.running();
  for (const key of await running.keys(runningKey(tenant_id))) {
    const entry = await running.get(key);
    if (entry !== undefined) add(key[2]!, entry.value);
  }
  const stored = await (await place.store()).read({ tenant_id, limit: 512, from_ms: 0 });
  for (const { node_id, payload } of stored.blocks) add(node_id, payload);
  const units: Record<string, number> = {};
  for (const [of, { rows }] of all) {
    for (const { room, policy, counts } of rows) {
      const key = `${of.split(" ")[0]} ${room} ${policy}`;
      units[key] = (units[key] ?? 0) + counts.fuel_units;
    }
  }
  return units;
}

/** Calls a room until its usage is in the ledger. */
async function callsCounted(world: ReducerWorld, calls: number) {
  const brain = await world.start("a");
  for (let at = 0; at < calls; at++) await applied(brain, "plain", "go");
  await until("its calls are in the ledger", async () => {
    const units = (await unitsIn(brain))["a plain reducer:plain"] ?? 0;
    return units > calls * MESSAGE_UNITS;
  });
  return brain;
}

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: the fuel of calls is in the ledger of use, and a replay adds nothing`, async () => {
    await using world = await open({ modules: { plain: PLAIN }, usage });
    const brain = await callsCounted(world, 5);
    const before = await unitsIn(brain);
    assert.deepEqual(Object.keys(before), ["a plain reducer:plain"]);
    const other = await world.start("b");
    world.turn("b");
    await applied(other, "plain", "go");
    const of = async (node_id: string) =>
      (await unitsIn(other))[`${node_id} plain reducer:plain`] ?? 0;
    await until("the other Brain's call is recorded", async () => await of("b") > 0);
    // It has replayed five calls, or read their outcomes; it has applied one.
    assert.equal(await of("b"), before["a plain reducer:plain"]! / 5);
    assert.equal(await of("a"), before["a plain reducer:plain"]);
  });

  Deno.test(`${engine}: a timer counts for its tenant, without any client`, async () => {
    await using world = await open({ modules: { once: ONCE }, usage });
    const brain = await world.start("a");
    await applied(brain, "once", "begin");
    await until("the timer has run", async () => (await entriesOf(brain, "once")).length === 2);
    await until("both are in the ledger", async () => {
      const { "a once reducer:once": units = 0 } = await unitsIn(brain);
      return units > 2 * MESSAGE_UNITS;
    });
  });

  Deno.test(`${engine}: a deploy counts by the bytes of its module, and a Brain that begins adds nothing`, async () => {
    await using world = await open({ modules: { plain: PLAIN }, usage });
    const brain = await world.start("a");
    await storeModule(brain, ONCE);
    await deploy(brain, "plain", ONCE);
    await until("it is in the ledger", async () => Object.keys(await unitsIn(brain)).length > 0);
    const units = { "a plain reducer:plain": ONCE.length * 500 };
    assert.deepEqual(await unitsIn(brain), units);
    const other = await world.start("b");
    await other.service.drain();
    assert.deepEqual(await unitsIn(brain), units);
  });

  Deno.test(`${engine}: pending use is written when the Brain ends, and its life mark shows so`, async () => {
    const rarely = { ...usage, flush_ms: 60_000 };
    await using world = await open({ modules: { plain: PLAIN }, usage: rarely });
    const brain = await world.start("a");
    const other = await world.start("b");
    await applied(brain, "plain", "go");
    await brain.service.drain();
    const { "a plain reducer:plain": units = 0 } = await unitsIn(other);
    assert.ok(units > MESSAGE_UNITS);
    const lives = await new Lives(other.spine).brains();
    const ended = lives.filter(({ is_over }) => is_over).map(({ node_id }) => node_id);
    assert.deepEqual(ended, ["a"]);
    // Requests to the cluster wait for Shields, and this Brain is none.
    assert.deepEqual(await new Lives(other.spine).all(), []);
  });
}
