/** The pool with harmless policies, on real workers: verdicts, headers, order, isolation. */
import assert from "node:assert/strict";
import { createMetrics, exposition } from "../../../shared/metrics/metrics.ts";
import type { Verdict } from "../../../shared/records/verdict.ts";
import { PolicyMetrics } from "./policy_metrics.ts";
import { faultOutcome } from "./chain_gate.ts";
import { message, policy, startTestPool, type TestPool } from "../testing/pool.ts";

const ALLOW = { body: "i32.const 0" };
const REFUSE = {
  more: '(data (i32.const 0) "too loud")',
  body: "(call $reject (i32.const 422) (i32.const 0) (i32.const 8)) i32.const 0",
};

function adds(name: string, value: string) {
  return {
    more: `(data (i32.const 0) "${name}") (data (i32.const 64) "${value}")`,
    body: `(call $add_header (i32.const 0) (i32.const ${name.length})
      (i32.const 64) (i32.const ${value.length})) i32.const 0`,
  };
}

function shows(name: string) {
  return {
    more: `(data (i32.const 0) "${name}")`,
    body: `(call $show (call $get_header (i32.const 0) (i32.const ${name.length}))) i32.const 0`,
  };
}

Deno.test("the first enforcing policy that refuses gives the verdict", async () => {
  await using test = await startTestPool();
  test.load("allow", ALLOW);
  test.load("refuse", REFUSE);
  const chain = [policy("allow"), policy("refuse"), policy("allow")];
  const { outcomes, ...refused } = await test.pool.evaluate(message(chain));
  assert.deepEqual([refused.allowed, refused.code], [false, 422]);
  assert.deepEqual([refused.reason, refused.name], ["too loud", "refuse"]);
  const ran = outcomes.map(({ name, fault }) => [name, fault]);
  assert.deepEqual(ran, [["allow", undefined], ["refuse", undefined]]);
  const allowed = await test.pool.evaluate(message([policy("allow")]));
  assert.deepEqual([allowed.allowed, allowed.code, allowed.name], [true, 0, ""]);
  assert.ok(allowed.outcomes[0]!.fuel > 0);
});

Deno.test("the next policy sees an added header, and the verdict has it", async () => {
  await using test = await startTestPool();
  test.load("first", adds("X-Mood", "calm"));
  test.load("second", adds("x-mood", "merry"));
  test.load("show", shows("X-MOOD"));
  const headers = [["x-Mood", "sent"], ["x-mood", "later"]] as const;
  const facts = () => ({ headers, claims: {} });
  const alone = await test.pool.evaluate(message([policy("show")], { facts }));
  assert.deepEqual(alone.logs, [{ name: "show", level: 1, message: "sent" }]);
  const chain = [policy("first"), policy("show"), policy("second")];
  const verdict = await test.pool.evaluate(message(chain, { facts }));
  assert.deepEqual(verdict.logs, [{ name: "show", level: 1, message: "calm" }]);
  assert.deepEqual(verdict.added_headers, [["x-mood", "merry"]]);
});

Deno.test("a policy that observes never blocks and adds nothing", async () => {
  await using test = await startTestPool();
  test.load("refuse", REFUSE);
  test.load("adds", adds("X-A", "b"));
  test.load("trap", { body: "unreachable" });
  const names = ["refuse", "adds", "trap", "missing"];
  const observing = names.map((name) => policy(name, { mode: "observe" }));
  const verdict = await test.pool.evaluate(message(observing));
  assert.deepEqual([verdict.allowed, verdict.added_headers], [true, []]);
  assert.deepEqual(
    verdict.outcomes.map(({ name, allowed, code, fault }) => [name, allowed, code, fault]),
    [
      ["refuse", false, 422, undefined],
      ["adds", true, 0, undefined],
      ["trap", false, 503, "trap"],
      ["missing", false, 503, "missing-module"],
    ],
  );
});

Deno.test("a module that is not loaded, or no longer loaded, refuses", async () => {
  await using test = await startTestPool();
  // One list, like a chain in force: an earlier admission does not count now.
  const chain = [policy("later")];
  const fault = async () => {
    const verdict = await test.pool.evaluate(message(chain));
    return [verdict.allowed, verdict.code, verdict.name, verdict.outcomes[0]?.fault];
  };
  assert.deepEqual(await fault(), [false, 503, "later", "missing-module"]);
  test.load("later", ALLOW);
  test.load("later", ALLOW);
  assert.deepEqual(await fault(), [true, 0, "", undefined]);
  assert.deepEqual(test.pool.status().modules, ["later"]);
  test.pool.unload("later");
  assert.deepEqual(await fault(), [false, 503, "later", "missing-module"]);
  test.load("later", ALLOW);
  assert.deepEqual(await fault(), [true, 0, "", undefined]);
});

Deno.test("a verdict takes few reads of the clock: at the request, and when replies are found", async () => {
  await using test = await startTestPool();
  test.load("allow", ALLOW);
  const chain = [policy("allow")];
  // From now on the tenant's chains are known to be short, and all of them may run.
  for (let count = 0; count < 8; count++) await test.pool.evaluate(message(chain));
  const before = test.looks;
  const verdicts = Array.from({ length: 64 }, () => test.pool.evaluate(message(chain)));
  assert.ok((await Promise.all(verdicts)).every(({ allowed }) => allowed));
  // Once each, and at most one more time if its reply is the only one that is found.
  assert.ok(test.looks - before <= 2 * 64, `${test.looks - before} looks`);
});

Deno.test("a payload above the limit is not sent to a worker", async () => {
  await using test = await startTestPool({ policy: { payload_bytes: 1_024 } });
  test.load("allow", ALLOW);
  const size = (bytes: number) =>
    test.pool.evaluate(message([policy("allow")], { payload: new Uint8Array(bytes) }));
  assert.equal((await size(1_024)).allowed, true);
  const { allowed, code, outcomes: [ran] } = await size(1_025);
  assert.deepEqual([allowed, code, ran?.fault], [false, 413, "payload-too-large"]);
});

/** The codes of a policy that refuses with the number of the call in its instance: 401, 402, … */
async function countsOf(test: TestPool, ...tenants: string[]): Promise<number[]> {
  const body = `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $reject (i32.add (i32.const 400) (global.get $calls)) (i32.const 0) (i32.const 0))
    i32.const 0`;
  test.load("count", { body });
  const codes = [];
  for (const tenant_id of tenants) {
    codes.push((await test.pool.evaluate(message([policy("count")], { tenant_id }))).code);
  }
  return codes;
}

Deno.test("a tenant's instance keeps its memory, another tenant has its own", async () => {
  await using test = await startTestPool();
  assert.deepEqual(await countsOf(test, "a", "a", "b", "a"), [401, 402, 401, 403]);
});

Deno.test("instances beyond the limit are dropped, the least recently used first", async () => {
  // Half of them are the share of the thread for slow tenants.
  await using test = await startTestPool({ policy: { instances: 4 } });
  const codes = await countsOf(test, "a", "b", "a", "c", "a", "b");
  assert.deepEqual(codes, [401, 401, 402, 401, 403, 401]);
});

Deno.test("requests of one connection run in order on one of several workers", async () => {
  await using test = await startTestPool({ policy: { workers: 3 } });
  // Refuses with a code from the payload's first byte, after an amount of work that depends on it.
  const body = `(local.set $i (i32.mul (i32.load8_u (i32.add (call $get_payload) (i32.const 4)))
      (i32.const 3000)))
    (loop $l (br_if $l (i32.gt_s (local.tee $i (i32.sub (local.get $i) (i32.const 1)))
      (i32.const 0)))) i32.const 0`;
  test.load("work", { body });
  const order = new Map<string, number[]>();
  const verdicts: Promise<unknown>[] = [];
  for (let number = 0; number < 60; number++) {
    for (const connection_id of ["a", "b", "c", "d", "e"]) {
      const payload = new Uint8Array([(60 - number) * (number % 3)]);
      const request = message([policy("work")], { connection_id, payload });
      verdicts.push(
        test.pool.evaluate(request).then(({ allowed }) => {
          assert.equal(allowed, true);
          order.set(connection_id, [...(order.get(connection_id) ?? []), number]);
        }),
      );
    }
  }
  await Promise.all(verdicts);
  const expected = Array.from({ length: 60 }, (_, number) => number);
  for (const numbers of order.values()) assert.deepEqual(numbers, expected);
  assert.equal(order.size, 5);
  assert.ok(test.pool.status().workers >= 3, "one more for a tenant whose chains run long");
});

Deno.test("with isolation by tenant each tenant has its own worker", async () => {
  await using test = await startTestPool({ policy: { isolation: "tenant" } });
  test.load("allow", ALLOW);
  for (const tenant_id of ["a", "b", "a"]) {
    const { allowed } = await test.pool.evaluate(message([policy("allow")], { tenant_id }));
    assert.equal(allowed, true);
  }
  assert.equal(test.pool.status().workers, 2);
});

Deno.test("requests that wait when the pool closes, and later ones, are refused", async () => {
  const test = await startTestPool();
  test.load("allow", ALLOW);
  const ask = () => test.pool.evaluate(message([policy("allow")]));
  const verdicts = Array.from({ length: 100 }, ask);
  await test.pool.close();
  assert.equal((await ask()).allowed, false);
  // Verdicts that a worker had given by then count.
  for (const { allowed, outcomes } of await Promise.all(verdicts)) {
    assert.equal(outcomes[0]?.fault === undefined, allowed);
  }
});

Deno.test("a verdict after timeout_ms is used and counted as late", async () => {
  await using test = await startTestPool({ policy: { timeout_ms: 1_000 } });
  test.load("allow", ALLOW);
  const slow = test.pool.evaluate(message([policy("allow")]));
  test.forward(2_000);
  assert.equal((await slow).allowed, true);
  const { body } = await exposition(test.registry);
  assert.match(body, /^shield_policy_late_verdicts_total 1$/m);
});

Deno.test("metrics count verdicts, time and fuel by policy", async () => {
  await using test = await startTestPool();
  test.load("allow", ALLOW);
  test.load("refuse", REFUSE);
  await test.pool.evaluate(message([policy("allow"), policy("refuse", { mode: "observe" })]));
  await test.pool.evaluate(message([policy("refuse")]));
  await test.pool.evaluate(message([policy("gone")]));
  const { body } = await exposition(test.registry);
  for (
    const line of [
      'shield_policy_verdicts_total{module="allow",verdict="allowed",reason="none"} 1',
      'shield_policy_verdicts_total{module="refuse",verdict="observed",reason="policy"} 1',
      'shield_policy_verdicts_total{module="refuse",verdict="refused",reason="policy"} 1',
      'shield_policy_verdicts_total{module="gone",verdict="refused",reason="missing-module"} 1',
      'shield_wasm_execution_duration_seconds_count{module="refuse"} 2',
      "policy_execution_duration_count 3",
      "shield_policy_queue_depth 0",
    ]
  ) assert.ok(body.includes(line), `${line} in\n${body}`);
  assert.match(body, /^shield_wasm_fuel_consumed_total\{module="allow"\} 0\.\d+$/m);
  const sums = body.matchAll(/^shield_wasm_execution_duration_seconds_sum\{.*\} (\S+)$/gm);
  const ran_seconds = [...sums].reduce((sum, [, seconds]) => sum + Number(seconds), 0);
  const busy = /^shield_policy_worker_busy_seconds_total (\S+)$/m.exec(body)?.[1];
  assert.ok(ran_seconds > 0 && Math.abs(Number(busy) - ran_seconds) < 1e-9);
});

Deno.test("a chain that adds more headers than an envelope allows is a fault", async () => {
  await using test = await startTestPool();
  const many = (prefix: string) => ({
    more: `(data (i32.const 0) "x-${prefix}0") (data (i32.const 8) "v")`,
    body: `(loop $l
      (i32.store8 (i32.const 3) (i32.add (i32.const 48) (local.get $i)))
      (call $add_header (i32.const 0) (i32.const 4) (i32.const 8) (i32.const 1))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
      i32.const 0`,
  });
  const names = [..."abcdefg"];
  for (const name of names) test.load(name, many(name));
  const six = await test.pool.evaluate(message(names.slice(0, 6).map((name) => policy(name))));
  assert.deepEqual([six.allowed, six.added_headers.length], [true, 60]);
  const seven: Verdict = await test.pool.evaluate(message(names.map((name) => policy(name))));
  assert.deepEqual([seven.allowed, seven.name, seven.outcomes.at(-1)?.fault], [false, "g", "abi"]);
});

Deno.test("after 256 names of policies the others count as other", async () => {
  const registry = createMetrics({ node_id: "test", version: "0" });
  const metrics = new PolicyMetrics(registry, {
    pending: () => 3,
    workers: () => 2,
    slow_tenants: () => 0,
    quarantined: () => 1,
    senders: () => 7,
    senders_dropped: () => 2,
  });
  for (let number = 0; number < 300; number++) {
    metrics.outcome(faultOutcome(policy(`p${number}`), "breaker-open"));
  }
  metrics.replaced();
  const { body } = await exposition(registry);
  assert.equal(body.match(/^shield_policy_verdicts_total\{/gm)?.length, 257);
  const other = 'module="other",verdict="refused",reason="breaker-open"';
  assert.ok(body.includes(`\nshield_policy_verdicts_total{${other}} 44\n`));
  assert.match(body, /^shield_policy_workers_replaced_total 1$/m);
  assert.match(body, /^shield_policy_queue_depth 3$/m);
  assert.match(body, /^shield_policy_failing_senders 7$/m);
  assert.match(body, /^shield_policy_failing_senders_dropped_total 2$/m);
  assert.doesNotMatch(body, /duration_seconds_count\{module="p1"\}/);
});
