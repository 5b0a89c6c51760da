/** Tenants whose chains run long, with others on real workers: their worker, their order, and their way back. */
import assert from "node:assert/strict";
import { exposition } from "../../../shared/metrics/metrics.ts";
import { turn } from "../../../shared/testing/pace.ts";
import { until } from "../../../shared/testing/until.ts";
import type { Verdict } from "../../../shared/records/verdict.ts";
import { LONG_FUEL } from "../../../shared/rates/pace.ts";
import { declares } from "../testing/guests.ts";
import { message, policy, startTestPool, type TestPool } from "../testing/pool.ts";

const ALLOW = { body: "i32.const 0" };
/** Loops `times` times and allows; 70 to 80 loops take one fuel. */
const burns = (times: number) => ({
  body: `(local.set $i (i32.const ${times})) (loop $again
    (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) i32.const 0`,
});
const LONG = burns(600_000);
const RATES = { fuel_per_second: 1_000_000_000, breaker_failures: 1_000 };

interface Asked {
  /** Numbers of the messages with a verdict, in the order of the verdicts. */
  readonly settled: number[];
  readonly all: Promise<Verdict[]>;
}

/** Sends many messages of a tenant at once. */
function ask(
  { pool }: TestPool,
  tenant_id: string,
  name: string,
  count: number,
  onSettled = () => {},
): Asked {
  const settled: number[] = [];
  const all = Promise.all(Array.from({ length: count }, async (_, at) => {
    const more = { tenant_id, connection_id: `${tenant_id}-1` };
    const verdict = await pool.evaluate(message([policy(name)], more));
    settled.push(at);
    onSettled();
    return verdict;
  }));
  return { settled, all };
}

const upTo = (count: number) => Array.from({ length: count }, (_, at) => at);

Deno.test("a tenant whose chains run long gets another worker, in order, and comes back when they are short", async () => {
  await using test = await startTestPool({ policy: RATES });
  test.load("long", LONG);
  test.load("allow", ALLOW);
  const first = ask(test, "long", "long", 60);
  const verdicts = await first.all;
  assert.ok(verdicts.every(({ allowed }) => allowed));
  assert.ok(verdicts[0]!.outcomes[0]!.fuel > LONG_FUEL);
  assert.deepEqual(first.settled, upTo(60), "the order is kept across the move");
  const { workers, slow_tenants } = test.pool.status();
  assert.deepEqual([workers, slow_tenants], [2, 1]);
  assert.match((await exposition(test.registry)).body, /shield_policy_slow_tenants 1\n/);
  const beside = ask(test, "long", "long", 400);
  await ask(test, "calm", "allow", 1).all;
  assert.ok(beside.settled.length < 400, "no tenant waits for the other one's queue");
  assert.ok((await beside.all).every(({ allowed }) => allowed));
  assert.deepEqual(beside.settled, upTo(400));
  assert.equal(test.pool.status().slow_tenants, 1, "the other tenant stays");
  test.forward(120_000);
  const back = ask(test, "long", "allow", 50);
  await back.all;
  assert.deepEqual(back.settled, upTo(50));
  assert.deepEqual([test.pool.status().slow_tenants, test.pool.status().pending], [0, 0]);
});

Deno.test("moves in the middle of traffic lose nothing and keep the order", async () => {
  await using test = await startTestPool({ policy: { ...RATES, workers: 3 } });
  test.load("long", LONG);
  test.load("allow", ALLOW);
  for (let round = 0; round < 3; round++) {
    const pending = [ask(test, "t", "long", 40), ask(test, "t", "allow", 300)];
    const other = ask(test, "u", "allow", 300);
    await pending[0]!.all;
    test.forward(120_000);
    const late = ask(test, "t", "allow", 300);
    for (const one of [...pending, late, other]) {
      const verdicts = await one.all;
      assert.ok(verdicts.every(({ allowed }) => allowed));
      assert.deepEqual(one.settled, upTo(verdicts.length));
    }
    assert.equal(test.pool.status().pending, 0);
  }
});

Deno.test("some long chains are normal: instances are made, and no tenant moves", async () => {
  await using test = await startTestPool({ policy: RATES });
  test.load("long", LONG);
  for (let time = 0; time < 20; time++) {
    await ask(test, "t", "long", 1).all;
    test.forward(6_000);
  }
  assert.deepEqual([test.pool.status().workers, test.pool.status().slow_tenants], [1, 0]);
});

Deno.test("calls that share keys move together, and none waits for a later one", async () => {
  await using test = await startTestPool({ policy: { ...RATES, workers: 3 } });
  const keyed = (key: string) => ({ ...LONG, abi: 2 as const, more: declares([{ key }]) });
  test.load("user", keyed("{user}"));
  test.load("tenant", keyed("{tenant}"));
  const chain = [policy("user"), policy("tenant")];
  const all = Array.from({ length: 200 }, (_, at) => {
    const facts = () => ({ headers: [["x-arqon-user", `u${at % 20}`]] as const, claims: {} });
    return test.pool.evaluate(message(at % 2 === 0 ? chain : chain.toReversed(), { facts }));
  });
  const faults = (await Promise.all(all)).flatMap(({ outcomes }) => outcomes.map((o) => o.fault));
  assert.deepEqual([...new Set(faults)], [undefined]);
  assert.equal(test.pool.status().slow_tenants, 1);
});

/** The verdicts of the light tenant before the fourth of the heavy one; both send at the same time. */
async function lightBeforeHeavy(test: TestPool): Promise<number> {
  const order: string[] = [];
  const noted = (name: string) => () => void order.push(name);
  // Few enough that no tenant moves to another worker.
  const heavy = ask(test, "heavy", "heavy", 8, noted("heavy"));
  const light = ask(test, "light", "allow", 40, noted("light"));
  await Promise.all([heavy.all, light.all]);
  assert.equal(test.pool.status().slow_tenants, 0);
  test.forward(60_000);
  let heavy_ones = 0;
  const fourth = order.findIndex((name) => name === "heavy" && ++heavy_ones === 4);
  return order.slice(0, fourth).length - 3;
}

Deno.test("tenants on one worker share its time, not its turns", async () => {
  await using test = await startTestPool({ policy: RATES });
  test.load("heavy", LONG);
  test.load("allow", ALLOW);
  // A tenant gets its full part of the worker's queue once its chains are known to be short.
  await ask(test, "light", "allow", 600).all;
  const counts: number[] = [];
  for (let time = 0; time < 5; time++) counts.push(await lightBeforeHeavy(test));
  // The best of five runs: on a busy machine an interruption counts as used time.
  assert.ok(Math.max(...counts) >= 20, `${counts}: by turns it would be 4`);
});

Deno.test("closing in the middle of a move leaves no worker behind", async () => {
  const test = await startTestPool({ policy: RATES });
  test.load("long", LONG);
  const pending = ask(test, "t", "long", 200);
  await until("a tenant is slow", () => test.pool.status().slow_tenants > 0);
  await test.pool.close();
  await pending.all;
  await turn();
  assert.equal(test.pool.status().workers, 0);
});
