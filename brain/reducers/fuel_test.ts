/**
 * The fuel of tenants: a tenant above its share waits or is refused, for calls and for timers, and delays no other
 * tenant. No case depends on the speed of the machine.
 */
import assert from "node:assert/strict";
import type { ArqonError } from "@arqon/proto";
import { until } from "../../shared/testing/until.ts";
import { TIMERS_PER_SECOND } from "./room/left_timers.ts";
import { deploy, storeModule } from "./testing/deploys.ts";
import { moduleOf, PLAIN } from "./testing/guest_text.ts";
import {
  applied,
  entriesOf,
  messagesOf,
  metric,
  ONE_ENGINE,
  type WorldBrain,
} from "./testing/reducer_world.ts";

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
