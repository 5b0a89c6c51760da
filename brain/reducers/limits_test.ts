/**
 * The fuel of tenants: a tenant above its share waits or is refused, for calls and for timers, and delays no other
 * tenant. Timers of a tenant with an exhausted budget wait until it is replenished, also across Brains that stop and
 * start; other tenants' timers run. Reducers that fail repeatedly: a user whose calls fail is slowed, a room that fails
 * for several users, or by its timers, is cut off for a while, and nobody else is affected. No case depends on the
 * speed of the machine.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { until } from "../../shared/testing/until.ts";
import { TIMERS_PER_SECOND } from "./room/left_timers.ts";
import { deploy, rollBack, storeModule } from "./testing/deploys.ts";
import { moduleOf, ONCE, PLAIN } from "./testing/guest_text.ts";
import {
  applied,
  call,
  entriesOf,
  messagesOf,
  metric,
  ONE_ENGINE,
  type ReducerWorld,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { configFrom } from "../../shared/config/load.ts";
import { Lives } from "../../shared/lives/lives.ts";
import {
  emptySettings,
  encodeSettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { noCounts } from "../../shared/records/counts.ts";
import { encodeMinute } from "../../shared/usage/minute.ts";
import { runningKey, UsageStores } from "../../shared/usage/usage_stores.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { BREAKER } from "./room/faults.ts";

const BURNS = moduleOf({ apply: `(loop $l (br $l)) (i32.const 0)` });
const SET = `(func $set (param $key i32) (call $room_schedule (local.get $key) (i32.const 1)
  (i64.add (call $room_now) (i64.const 10)) (local.get $key) (i32.const 1)
  (i32.const 0) (i32.const 0)))`;
/** A timer's command is its key; any other sets 60 of them. */
const TICKS = moduleOf({
  more: SET,
  apply: `(local $at i32) (local $name i32)
    (local.set $name (call $room_field (i32.const 0)))
    (if (i32.eq (i32.load (local.get $name)) (i32.const 1))
      (then (call $set (i32.add (local.get $name) (i32.const 4))))
      (else (loop $more
        (i32.store8 (i32.const 100) (i32.add (i32.const 33) (local.get $at)))
        (call $set (i32.const 100))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $at) (i32.const 60))))))
    (i32.const 0)`,
});
/** Compiling it costs more fuel than a tenant of these tests has. */
const LARGE = moduleOf({
  more: `(data (i32.const 1024) "${"x".repeat(4_096)}")`,
  apply: `(i32.const 0)`,
});
/** Any debt of these tests is repaid within this time. */
const LONG_MS = 600_000;
/** An endless command costs a little more than 10,000: on any machine the next one finds no fuel. */
const BRAIN = { reducer_fuel_per_second: 200 };

function callOf(
  { service }: WorldBrain,
  tenant_id: string,
  room_id: string,
): Promise<string | ArqonError> {
  return new Promise((answer) =>
    service.call({ tenant_id, room_id }, {
      command: "go",
      data: new Uint8Array(),
      id: "",
      user_id: "ann",
      role: "user",
      claims: {},
      deadline_ms: Infinity,
      answer,
    })
  );
}

const reasonOf = (outcome: string | ArqonError) =>
  typeof outcome === "string" ? "applied" : outcome.reason;

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: a tenant that has used its fuel is refused with when to come again, and no other`, async () => {
    await using world = await open({ modules: { burns: BURNS, plain: PLAIN }, brain: BRAIN });
    const brain = await world.start("a");
    assert.equal(reasonOf(await callOf(brain, "t", "burns")), "call-rejected");
    const refused = await callOf(brain, "t", "burns");
    assert.ok(typeof refused !== "string");
    assert.deepEqual([refused.code, refused.reason], [429, "rate-limited"]);
    assert.match(refused.message, /200 fuel of reducers a second/);
    assert.ok((refused.retry_after_ms ?? 0) > 0);
    // The tenant's other rooms wait, too; other tenants are answered.
    assert.equal(reasonOf(await callOf(brain, "t", "plain")), "rate-limited");
    assert.equal(reasonOf(await callOf(brain, "other", "plain")), "applied");
    assert.ok(await metric(brain, "brain_reducer_refused_total") >= 2);
    assert.ok(await metric(brain, "brain_reducer_fuel_total") >= 10_000);
    world.passed_ms += LONG_MS;
    assert.equal(reasonOf(await callOf(brain, "t", "plain")), "applied");
  });

  Deno.test(`${engine}: a tenant with many programs' rooms leaves room in the bucket for another's`, async () => {
    await using world = await open({ modules: { plain: PLAIN } });
    const brain = await world.start("a", { plain: PLAIN }, (spine) =>
      overriding(spine, {
        keyValue: async (name) => overriding(await spine.keyValue(name), { limit_bytes: 8_000 }),
      }));
    const rooms = Array.from({ length: 20 }, (_, at) => `plain-${at}`);
    const outcomes: string[] = [];
    for (const room of rooms) outcomes.push(reasonOf(await callOf(brain, "t", room)));
    assert.deepEqual([outcomes[0], outcomes.at(-1)], ["applied", "spine-unavailable"]);
    assert.equal(reasonOf(await callOf(brain, "t", "plain-0")), "applied", "the others go on");
    assert.equal(reasonOf(await callOf(brain, "other", "plain")), "applied");
  });

  Deno.test(`${engine}: a tenant whose rooms fill the memory is refused, and another's room is served and kept`, async () => {
    const brain = { reducer_rooms: 9 };
    await using world = await open({ modules: { plain: PLAIN }, brain });
    const one = await world.start("a");
    const rooms = Array.from({ length: 12 }, (_, at) => `plain-${at}`);
    const all = [...rooms.map((room) => callOf(one, "greedy", room)), callOf(one, "calm", "plain")];
    const outcomes = (await Promise.all(all)).map(reasonOf);
    assert.equal(outcomes.pop(), "applied");
    assert.ok(outcomes.includes("too-many-pending"), outcomes.join());
    // Idle rooms are closed for others: only of the tenant that holds most.
    for (const room of rooms) await callOf(one, "greedy", room);
    const loads = await metric(one, "brain_reducer_loads_total");
    assert.equal(reasonOf(await callOf(one, "calm", "plain")), "applied");
    assert.equal(await metric(one, "brain_reducer_loads_total"), loads);
  });

  Deno.test(`${engine}: timers have half of the tenant's fuel, so that its calls have the other`, async () => {
    const own = { reducer_fuel_per_second: 6_000 };
    await using world = await open({ modules: { ticks: TICKS, plain: PLAIN }, brain: own });
    const brain = await world.start("a");
    await applied(brain, "ticks", "begin");
    const held = () => metric(brain, "brain_reducer_timers_held_total");
    await until("its timers wait", async () => await held() > 0);
    assert.equal(reasonOf(await callOf(brain, "t", "plain")), "applied");
    const before = (await entriesOf(brain, "ticks")).length;
    world.passed_ms += LONG_MS;
    await until("timers run", async () => (await entriesOf(brain, "ticks")).length > before);
  });

  Deno.test(`${engine}: an author who deploys in a loop waits for fuel, and others do not`, async () => {
    await using world = await open({ modules: { plain: PLAIN }, brain: BRAIN });
    const brain = await world.start("a");
    await storeModule(brain, LARGE);
    const deploys = (outcome: string) => metric(brain, "brain_reducer_deploys_total", { outcome });
    await deploy(brain, "plain", LARGE);
    await until("the first is loaded", async () => await deploys("loaded") === 1);
    await deploy(brain, "plain", LARGE);
    await until("the second is held", async () => await deploys("held") > 0);
    assert.equal(reasonOf(await callOf(brain, "t", "plain")), "rate-limited");
    await deploy(brain, "plain", LARGE, "other");
    await until("another tenant's is loaded", async () => await deploys("loaded") === 2);
    world.passed_ms += LONG_MS;
    await until("then the second is", async () => await deploys("loaded") === 3);
    // Loading at the start of a Brain is no deploy: nobody pays for it.
    const next = await world.start("b");
    world.turn("b");
    assert.equal(reasonOf(await callOf(next, "t", "plain")), "applied");
  });

  Deno.test(`${engine}: timers of a room have a rate limit, and each runs once`, async () => {
    const plenty = { reducer_fuel_per_second: 1_000_000_000 };
    await using world = await open({ modules: { ticks: TICKS }, brain: plenty });
    const brain = await world.start("a");
    await applied(brain, "ticks", "begin");
    const count = 4 * TIMERS_PER_SECOND;
    await until("timers run", async () => (await entriesOf(brain, "ticks")).length > count);
    const timers = (await entriesOf(brain, "ticks")).slice(1);
    const took_ms = timers[count - 1]!.time_ms - timers[0]!.time_ms;
    // The burst is two seconds' worth.
    const least_ms = (count / TIMERS_PER_SECOND - 2) * 1_000;
    assert.ok(took_ms >= least_ms * 0.9, `${count} timers in ${took_ms} ms`);
    const messages = (await messagesOf(brain, "ticks~reducer")).length;
    const entries = (await entriesOf(brain, "ticks")).length;
    assert.ok(messages <= entries / 4, `${messages} messages of ${entries} entries`);
  });
}

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

/** Gives the tenant a higher budget. */
async function raiseBudget({ spine }: WorldBrain): Promise<void> {
  const budgets = [{ ...budget, limit: 2 * FUEL, messages_per_second: 1 }];
  const settings = await spine.keyValue(TENANTS_BUCKET);
  await settings.put(["t"], encodeSettings({ ...emptySettings(), version: 1, budgets }));
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
    await raiseBudget(brain);
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
    await raiseBudget(brain);
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

const FIRST = (field: number) =>
  `(i32.load8_u (i32.add (call $room_field (i32.const ${field})) (i32.const 4)))`;
/** Fails where its data begins with an x. */
const MOODY = moduleOf({
  apply: `(if (i32.eq ${FIRST(1)} (i32.const 120)) (then unreachable)) (i32.const 0)`,
});
/** A command of the room itself fails; any other sets 20 of them. */
const TIMERS = moduleOf({
  apply: `(local $at i32)
    (if (i32.lt_u ${FIRST(0)} (i32.const 64)) (then unreachable))
    (loop $more
      (i32.store8 (i32.const 100) (i32.add (i32.const 33) (local.get $at)))
      (call $room_schedule (i32.const 100) (i32.const 1)
        (i64.add (call $room_now) (i64.const 10)) (i32.const 100) (i32.const 1)
        (i32.const 0) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $at) (i32.const 20))))
    (i32.const 0)`,
});

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: a room whose reducer fails for several is cut off for a while, and no other`, async () => {
    await using world = await open({ modules: { moody: MOODY } });
    const brain = await world.start("a");
    for (const [at, user] of ["a", "a", "b", "b", "c"].entries()) {
      // Clients may retry after a lost connection; a repeated answer does not count as a success.
      const about = { data: "x", user, id: `go-${at}` };
      for (let time = 0; time < (user === "c" ? 1 : 2); time++) {
        assert.match(String(await call(brain, "moody", "go", about)), /reducer-trap/);
      }
    }
    const cut = await call(brain, "moody", "go", { user: "d" });
    assert.match(String(cut), /^429 rate-limited.*breaker-open/);
    assert.equal((await entriesOf(brain, "moody")).length, 9, "what is held back is no entry");
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 1);
    assert.match(brain.lines.join(""), /level=error [^\n]*room cut off/);
    const { rooms: [room], total } = brain.service.cutOff("t");
    assert.deepEqual([room?.room_id, room?.module, total], ["moody", await sha256Hex(MOODY), 1]);
    assert.equal(room!.until_ms - room!.since_ms, BREAKER.cool_down_ms);
    assert.deepEqual([room?.fault?.entry, room?.fault?.reason], [9, "reducer-trap"]);
    assert.equal(brain.service.cutOff("u").total, 0);
    world.turn("b");
    assert.equal(brain.service.cutOff("t").total, 0, "another Brain has the room");
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 0);
    world.turn("a");
    await applied(brain, "moody-1", "go", { user: "a" });
    world.passed_ms += BREAKER.cool_down_ms;
    await applied(brain, "moody", "go", { user: "d" });
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 0);
    assert.equal(brain.service.cutOff("t").total, 0);
    await applied(brain, "moody", "go", { user: "a" });
  });

  Deno.test(`${engine}: a room that has another module is no longer cut off`, async () => {
    await using world = await open({ modules: { moody: MOODY } });
    const brain = await world.start("a");
    for (const user of ["a", "b", "c", "d", "e"]) {
      assert.match(String(await call(brain, "moody", "go", { data: "x", user })), /reducer-trap/);
    }
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 1);
    await storeModule(brain, PLAIN);
    await deploy(brain, "moody", PLAIN);
    const loaded = () => metric(brain, "brain_reducer_deploys_total", { outcome: "loaded" });
    await until("it is loaded", async () => await loaded() === 1);
    await until(
      "it answers",
      async () => typeof await call(brain, "moody", "go", { user: "f" }) !== "string",
    );
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 0);
    assert.equal(brain.service.cutOff("t").total, 0);
  });

  Deno.test(`${engine}: one user whose calls make a reducer fail is slowed, and nobody else`, async () => {
    await using world = await open({ modules: { moody: MOODY } });
    const brain = await world.start("a");
    for (let at = 0; at < 3; at++) {
      assert.match(String(await call(brain, "moody", "go", { data: "x" })), /reducer-trap/);
    }
    assert.match(String(await call(brain, "moody", "go")), /^429 rate-limited.*sender-slowed/);
    await applied(brain, "moody", "go", { user: "bob" });
    const about = { fault: "sender-slowed" };
    assert.equal(await metric(brain, "brain_reducer_held_total", about), 1);
    world.passed_ms += 1_000;
    await applied(brain, "moody", "go");
  });

  Deno.test(`${engine}: timers are held after repeated failures, and tried one at a time`, async () => {
    await using world = await open({ modules: { timers: TIMERS } });
    const brain = await world.start("a");
    await applied(brain, "timers", "begin");
    const held = () => metric(brain, "brain_reducer_held_total", { fault: "breaker-open" });
    await until("its timers are held", async () => await held() > 0);
    const count = async () => (await entriesOf(brain, "timers")).length;
    assert.equal(await count(), 1 + BREAKER.failures);
    world.passed_ms += BREAKER.cool_down_ms;
    await until("one is tried", async () => await count() > 1 + BREAKER.failures);
    assert.equal(await count(), 2 + BREAKER.failures);
  });
}
