/**
 * Chains on the Shield's own thread, with a real worker: which run here, that those without a verdict leave nothing,
 * and the hostile policies with the tier enabled.
 */
import assert from "node:assert/strict";
import { exposition } from "../../../shared/metrics/metrics.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import { FOREVER, type GuestText } from "../testing/guests.ts";
import { FORGETFUL } from "../testing/forgetful_guests.ts";
import { HOSTILE } from "../testing/hostile_guests.ts";
import { message, policy, startTestPool, type TestPool } from "../testing/pool.ts";

const FUEL = 200;
const GOOD = new TextEncoder().encode("good");
const HOSTILE_PAYLOAD = new TextEncoder().encode("hostile");
/** Allows at once unless the payload begins with "h". */
const UNLESS_HOSTILE = `(if (i32.ne
    (i32.load8_u (i32.add (call $get_payload) (i32.const 4))) (i32.const 104))
  (then (return (i32.const 0))))`;
/** Counts its calls, and refuses with 400 and the count. */
const COUNTS = {
  body: `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $reject (i32.add (i32.const 400) (global.get $calls)) (i32.const 0) (i32.const 0))
    i32.const 0`,
};

/** A pool with these modules, which may run on this thread. */
async function started(modules: Readonly<Record<string, GuestText>>, more: object = {}) {
  const inline_modules = Object.keys(modules);
  const own = { breaker_failures: 1_000, inline_fuel: FUEL, inline_modules, ...more };
  const test = await startTestPool({ policy: own });
  for (const [name, guest] of Object.entries(modules)) test.load(name, guest);
  return test;
}

const ALLOWS: GuestText = { body: "i32.const 0" };
/** Burns all its fuel if the payload is hostile. */
const BURNS: GuestText = { body: `${UNLESS_HOSTILE} ${FOREVER}` };

const ask = (name: string, payload = GOOD, more: Partial<EvaluateRequest> = {}) =>
  message([policy(name)], { payload, ...more });

/** The verdict as the Overseer gets it, and whether it came from this thread. */
async function judge({ pool }: TestPool, request: EvaluateRequest) {
  const inline = pool.evaluateInline(request);
  const verdict = inline ?? await pool.evaluate(request);
  return { inline: inline !== undefined, verdict };
}

async function inlineTotals({ registry }: TestPool): Promise<Record<string, number>> {
  const { body } = await exposition(registry);
  const lines = body.matchAll(/^shield_policy_inline_total\{.*result="(\w+)".*\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, result, total]) => [result, Number(total)]));
}

Deno.test("a chain of one policy reads the clock twice: reading it costs as much as a small policy", async () => {
  await using test = await started({ marked: ALLOWS });
  await judge(test, ask("marked"));
  await judge(test, ask("marked"));
  const before = test.looks;
  for (let time = 0; time < 10; time++) assert(test.pool.evaluateInline(ask("marked")));
  assert.equal(test.looks - before, 20);
});

Deno.test("a marked module runs on this thread after a worker has run it without a fault", async () => {
  await using test = await started({ marked: ALLOWS });
  test.load("other", ALLOWS);
  const runs = [];
  for (let time = 0; time < 3; time++) runs.push((await judge(test, ask("marked"))).inline);
  assert.deepEqual(runs, [false, true, true]);
  for (let time = 0; time < 3; time++) {
    assert.equal((await judge(test, ask("other"))).inline, false);
  }
  const both = message([policy("marked"), policy("other")], { payload: GOOD });
  assert.equal((await judge(test, both)).inline, false, "one policy of the chain is not marked");
  assert.deepEqual(await inlineTotals(test), { verdict: 2, again: 0 });
});

Deno.test("a verdict of this thread has the same parts as a worker's: code, headers, logs, fuel", async () => {
  const says = {
    more: '(data (i32.const 0) "x-ayes")',
    body: `(call $log (i32.const 1) (i32.const 3) (i32.const 3))
      (call $add_header (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 3))
      (call $show (call $get_header (i32.const 0) (i32.const 3)))
      i32.const 0`,
  };
  await using test = await started({ says });
  const facts = () => ({ headers: [["x-a", "given"]] as const, claims: { sub: "ann" } });
  const away = await judge(test, ask("says", GOOD, { facts }));
  const here = await judge(test, ask("says", GOOD, { facts }));
  assert.deepEqual([away.inline, here.inline], [false, true]);
  const timeless = ({ verdict: { outcomes, ...rest } }: typeof away) => ({
    ...rest,
    outcomes: outcomes.map((one) => ({ ...one, duration_ms: 0 })),
  });
  assert.deepEqual(timeless(here), timeless(away));
  assert.deepEqual(here.verdict.added_headers, [["x-a", "yes"]]);
  assert.ok(here.verdict.outcomes[0]!.instance_fuel > 0, "its own instance was made for it");
  const { verdict } = await judge(test, ask("says", GOOD, { facts }));
  assert.equal(verdict.outcomes[0]!.instance_fuel, 0);
});

Deno.test("this thread has its own instance, whose state lives between calls", async () => {
  await using test = await started({ counts: COUNTS });
  const codes = [];
  for (let time = 0; time < 4; time++) {
    const { inline, verdict } = await judge(test, ask("counts"));
    codes.push([inline, verdict.code]);
  }
  assert.deepEqual(codes, [[false, 401], [true, 401], [true, 402], [true, 403]]);
});

Deno.test("a call that exceeds its budget here leaves nothing but its price, and a worker judges it", async () => {
  // A hostile payload takes some 1,000 fuel: more than the limit here, less than a worker's.
  const burns = `${UNLESS_HOSTILE} (local.set $i (i32.const 100000))
    (loop $l (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) i32.const 0`;
  const first = `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (call $log (i32.const 1) (i32.const 0) (global.get $calls)) i32.const 0`;
  await using test = await started({ first: { body: first }, burns: { body: burns } });
  const chain = [policy("first"), policy("burns")];
  const calls = async (payload: Uint8Array) => {
    const { inline, verdict } = await judge(test, message(chain, { payload }));
    assert.equal(verdict.allowed, true);
    // The line is as long as the number of calls of the instance.
    return [inline, verdict.logs[0]!.message.length];
  };
  assert.deepEqual(await calls(GOOD), [false, 1]);
  assert.deepEqual([await calls(GOOD), await calls(GOOD)], [[true, 1], [true, 2]]);
  assert.deepEqual(
    await calls(HOSTILE_PAYLOAD),
    [false, 2],
    "a worker judges it completely, and once",
  );
  assert.deepEqual(await inlineTotals(test), { verdict: 2, again: 1 });
  for (let time = 0; time < 64; time++) assert.equal((await calls(GOOD))[0], false, "it rests");
  assert.deepEqual(await calls(GOOD), [true, 1], "the instances that had run are removed");
});

Deno.test("a tenant's rest here is remembered even among thousands of other tenants", async () => {
  await using test = await started({ burns: BURNS }, { queue_messages: 4 });
  await judge(test, ask("burns"));
  // Each is remembered since its message was at a worker.
  for (let count = 0; count < 1_100; count++) {
    await test.pool.evaluate(ask("burns", GOOD, { tenant_id: `t${count}` }));
  }
  assert.equal((await judge(test, ask("burns", GOOD, { tenant_id: "late" }))).inline, true);
  await judge(test, ask("burns", HOSTILE_PAYLOAD, { tenant_id: "late" }));
  assert.equal((await judge(test, ask("burns", GOOD, { tenant_id: "late" }))).inline, false);
});

Deno.test("the fuel that a tenant wastes on this thread is charged to it", async () => {
  await using test = await started({ burns: BURNS }, { fuel_per_second: 1_000 });
  await judge(test, ask("burns"));
  const before = await judge(test, ask("burns"));
  assert.equal(before.inline, true);
  assert.equal(test.pool.evaluateInline(ask("burns", HOSTILE_PAYLOAD)), undefined);
  // In a worker it burns 10,000 more fuel than the 2,000 in its bucket.
  await test.pool.evaluate(ask("burns", HOSTILE_PAYLOAD));
  const { inline, verdict } = await judge(test, ask("burns"));
  assert.deepEqual([inline, verdict.outcomes[0]?.fault], [false, "rate"]);
});

Deno.test("while a tenant's messages are at workers its next ones follow them, and others' do not", async () => {
  await using test = await started({ marked: ALLOWS });
  test.load("away", ALLOWS);
  await judge(test, ask("marked"));
  assert.equal((await judge(test, ask("marked"))).inline, true);
  const away = test.pool.evaluate(ask("away"));
  assert.equal(test.pool.evaluateInline(ask("marked")), undefined);
  assert.notEqual(test.pool.evaluateInline(ask("marked", GOOD, { tenant_id: "other" })), undefined);
  await away;
  assert.equal((await judge(test, ask("marked"))).inline, true);
});

Deno.test("a module that was unloaded does not run on this thread", async () => {
  await using test = await started({ marked: ALLOWS });
  await judge(test, ask("marked"));
  assert.equal((await judge(test, ask("marked"))).inline, true);
  test.pool.unload("marked");
  const { inline, verdict } = await judge(test, ask("marked"));
  assert.deepEqual([inline, verdict.allowed], [false, false]);
  test.load("marked", ALLOWS);
  assert.equal((await judge(test, ask("marked"))).inline, false, "a worker is first again");
});

Deno.test("an expensive instance is not made on this thread", async () => {
  await using test = await started({ large: { ...ALLOWS, pages: 64 } });
  for (let time = 0; time < 3; time++) {
    const { inline, verdict } = await judge(test, ask("large"));
    assert.deepEqual([inline, verdict.allowed], [false, true]);
  }
});

Deno.test("hostile modules that begin on this thread fail only their own messages", async () => {
  const hostile = Object.entries(HOSTILE).map(([name, [, guest]]) =>
    [name, { ...guest, body: `${UNLESS_HOSTILE} ${guest.body}` }] as const
  );
  await using test = await started({ allow: ALLOWS, ...Object.fromEntries(hostile) });
  await judge(test, ask("allow", GOOD, { tenant_id: "calm" }));
  let begun = 0;
  for (const [name, [expected]] of Object.entries(HOSTILE)) {
    const tenant_id = name.replaceAll(" ", "-");
    for (let time = 0; time < 3; time++) {
      await judge(test, ask(name, GOOD, { tenant_id }));
      const { inline, verdict } = await judge(test, ask(name, HOSTILE_PAYLOAD, { tenant_id }));
      assert.equal(inline, false, name);
      const fault = verdict.outcomes[0]?.fault ?? "none";
      assert.ok(expected.includes(fault), `${name}: ${fault}`);
      const calm = await judge(test, ask("allow", GOOD, { tenant_id: "calm" }));
      assert.deepEqual([calm.inline, calm.verdict.allowed], [true, true]);
    }
    begun++;
  }
  assert.equal(begun, Object.keys(HOSTILE).length);
  assert.ok((await inlineTotals(test))["again"]! >= begun / 2, "most of them began here");
  assert.equal(test.pool.status().workers_replaced, 0);
});

Deno.test("a policy of version 2 sees nothing of its earlier calls, here and in a worker", async () => {
  const ways = Object.keys(FORGETFUL);
  await using test = await started(FORGETFUL, { inline_fuel: 1_000 });
  let inline = 0;
  for (const way of ways) {
    const verdicts = [];
    for (let time = 0; time < 4; time++) {
      const ran = await judge(test, ask(way, GOOD, { tenant_id: "t" + ways.indexOf(way) }));
      inline += Number(ran.inline);
      const { code, logs, outcomes: [outcome] } = ran.verdict;
      verdicts.push({ code, logs, fuel: outcome?.fuel, fault: outcome?.fault });
    }
    for (const one of verdicts) assert.deepEqual(one, verdicts[0], way);
    assert.equal(verdicts[0]?.logs.length, 1, way);
  }
  // All except those that end in a fault run here after a worker has run them.
  assert.ok(inline >= 3 * (ways.length - 3), `${inline}`);
});
