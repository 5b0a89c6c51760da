/**
 * Timers of a tenant with an exhausted budget wait until it is replenished, also across Brains that stop and start.
 * Other tenants' timers run. No case depends on the speed of the machine.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { Lives } from "../../shared/lives/lives.ts";
import {
  emptySettings,
  encodeSettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { until } from "../../shared/testing/until.ts";
import { noCounts } from "../../shared/records/counts.ts";
import { encodeMinute } from "../../shared/usage/minute.ts";
import { runningKey, UsageStores } from "../../shared/usage/usage_stores.ts";
import { deploy, rollBack, storeModule } from "./testing/deploys.ts";
import { ONCE, PLAIN } from "./testing/guest_text.ts";
import {
  applied,
  entriesOf,
  metric,
  ONE_ENGINE,
  type ReducerWorld,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const FUEL = 1_000_000_000;
const budget = { per: "day", unit: "fuel", limit: FUEL, action: "refuse" } as const;
const usage = { enabled: true, flush_ms: 20 };

/** The Brains' clocks. */
const nowOf = (world: ReducerWorld) => Date.now() + world.ahead_ms;

/** Sets the clocks to the next noon, so that no test crosses midnight. */
function toNoon(world: ReducerWorld): void {
  world.ahead_ms = (DAY_MS * 1.5 - Date.now() % DAY_MS) % DAY_MS;
}

/** Counts usage, as a Shield does, until the budget is exhausted. */
async function useUp({ spine }: WorldBrain, world: ReducerWorld, tenant_id = "t"): Promise<void> {
  const place = new UsageStores({ config: configFrom({ usage }), spine, lives: new Lives(spine) });
  const now_ms = nowOf(world);
  const counts = { ...noCounts(), fuel_units: FUEL * 500 };
  const minute = {
    life_ms: now_ms,
    seq: 0,
    minute: Math.floor(now_ms / MINUTE_MS),
    until_ms: now_ms,
  };
  const payload = encodeMinute({ ...minute, rows: [{ room: "*", user: "", policy: "", counts }] });
  await (await place.running()).put(runningKey(tenant_id, "shield", `${now_ms}`, "0"), payload);
}

const saysThatTimersWait = ({ lines }: WorldBrain) =>
  lines.filter((line) => /level=warn .*timers and deploys wait/.test(line)).length;

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: timers of a tenant whose budget is used up wait for the next day, whoever has their room`, async () => {
    await using world = await open({
      modules: { once: ONCE },
      usage: { ...usage, budgets: [budget] },
    });
    toNoon(world);
    const brain = await world.start("a");
    const other = await world.start("b");
    await useUp(brain, world);
    await applied(brain, "once", "begin");
    await applied(brain, "once-1", "begin");
    await until("it is notified", () => saysThatTimersWait(brain) > 0);
    assert.equal(await metric(brain, "brain_reducer_budget_tenants"), 1);
    world.turn("b");
    await until("the other one says so, too", () => saysThatTimersWait(other) > 0);
    assert.equal((await entriesOf(brain, "once")).length, 1);
    // A call that a Shield still admits is applied; the timer keeps waiting.
    await applied(other, "once-1", "!");
    world.ahead_ms += DAY_MS;
    for (const [room, count] of [["once", 2], ["once-1", 3]] as const) {
      await until(
        `the timer of ${room} runs`,
        async () => (await entriesOf(other, room)).length === count,
      );
      const { kind, time_ms } = (await entriesOf(other, room)).at(-1)!;
      assert.equal(kind, "timer");
      assert.ok(time_ms >= nowOf(world) - nowOf(world) % DAY_MS, "it has waited for the day");
    }
    assert.equal(await metric(other, "brain_reducer_budget_tenants"), 0);
    assert.equal(saysThatTimersWait(brain) + saysThatTimersWait(other), 2);
  });

  Deno.test(`${engine}: timers run once a higher budget is set, and those of others never wait`, async () => {
    await using world = await open({
      modules: { once: ONCE },
      usage: { ...usage, budgets: [{ ...budget, tenant: "t" }] },
    });
    toNoon(world);
    const brain = await world.start("a");
    await useUp(brain, world);
    await useUp(brain, world, "u");
    await applied(brain, "once", "begin");
    await until("it is notified", () => saysThatTimersWait(brain) > 0);
    await applied(brain, "once", "begin", { tenant: "u" });
    await until(
      "the other tenant's runs",
      async () => (await entriesOf(brain, "once", "u")).length === 2,
    );
    assert.equal((await entriesOf(brain, "once")).length, 1);
    const budgets = [{ ...budget, limit: 2 * FUEL, messages_per_second: 1 }];
    const settings = await brain.spine.keyValue(TENANTS_BUCKET);
    await settings.put(["t"], encodeSettings({ ...emptySettings(), version: 1, budgets }));
    await until("it runs", async () => (await entriesOf(brain, "once")).length === 2);
    assert.equal(await metric(brain, "brain_reducer_budget_tenants"), 0);
  });

  Deno.test(`${engine}: a deploy of a tenant whose budget is used up waits, taking it back does not, and others' do not`, async () => {
    await using world = await open({
      modules: { once: ONCE },
      usage: { ...usage, budgets: [{ ...budget, tenant: "t" }] },
    });
    toNoon(world);
    const brain = await world.start("a");
    const deploys = (outcome: string) => metric(brain, "brain_reducer_deploys_total", { outcome });
    await storeModule(brain, PLAIN);
    await useUp(brain, world);
    await deploy(brain, "once", PLAIN);
    await until("it is held", async () => await deploys("held") > 0);
    await deploy(brain, "once", PLAIN, "u");
    await until("the other tenant's is loaded", async () => await deploys("loaded") === 1);
    // That module comes from the configuration: it costs nothing.
    await rollBack(brain, "once");
    await until("it is rolled back", async () => await deploys("loaded") === 2);
    const held = await deploys("held");
    await deploy(brain, "once", PLAIN);
    await until("the next one is held", async () => await deploys("held") > held);
    assert.equal(await deploys("loaded"), 2);
    const budgets = [{ ...budget, limit: 2 * FUEL, messages_per_second: 1 }];
    const settings = await brain.spine.keyValue(TENANTS_BUCKET);
    await settings.put(["t"], encodeSettings({ ...emptySettings(), version: 1, budgets }));
    await until("it is loaded", async () => await deploys("loaded") === 3);
  });

  Deno.test(`${engine}: where the ledger cannot be read, timers run as long as no budget is known to be used up`, async () => {
    await using world = await open({
      modules: { once: ONCE },
      usage: { ...usage, budgets: [budget] },
    });
    toNoon(world);
    const brain = await world.start("a", { once: ONCE }, withoutLedger);
    await applied(brain, "once", "begin");
    await until("it runs", async () => (await entriesOf(brain, "once")).length === 2);
    await until("it is notified", () => /budgets could not be read/.test(brain.lines.join("")));
  });
}

/** The Spine without its store of blocks. */
function withoutLedger(spine: Spine): Spine {
  const blocks = () => Promise.reject(new ArqonError("spine-unavailable", "away"));
  return overriding(spine, { blocks });
}
