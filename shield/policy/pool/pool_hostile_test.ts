/** Hostile modules on real workers: each pays for its own cost, and no other tenant does. */
import assert from "node:assert/strict";
import { exposition } from "../../../shared/metrics/metrics.ts";
import { until } from "../../../shared/testing/until.ts";
import { FOREVER, unmeteredGuest, WEDGES } from "../testing/guests.ts";
import { HOSTILE } from "../testing/hostile_guests.ts";
import { message, policy, startTestPool, type TestPool } from "../testing/pool.ts";

const ALLOW = { body: "i32.const 0" };

type Asked = Parameters<typeof message>[1];

async function fault(test: TestPool, name: string, tenant_id = "acme", more: Asked = {}) {
  const verdict = await test.pool.evaluate(message([policy(name)], { tenant_id, ...more }));
  return verdict.allowed ? "allowed" : verdict.outcomes[0]?.fault ?? String(verdict.code);
}

Deno.test("hostile modules fail only their own messages, again and again", async () => {
  await using test = await startTestPool({ policy: { breaker_failures: 1_000 } });
  test.load("allow", ALLOW);
  for (const [name, [expected, guest]] of Object.entries(HOSTILE)) {
    test.load(name, guest);
    for (let time = 0; time < 3; time++) {
      const got = await fault(test, name);
      assert.ok(expected.includes(got), `${name}: ${got}`);
      assert.equal(await fault(test, "allow"), "allowed");
    }
  }
  assert.equal(test.pool.status().workers_replaced, 0);
});

/** Fails while the payload begins with "h". */
const MOODY = {
  body: `(if (i32.eq (i32.load8_u (i32.add (call $get_payload) (i32.const 4)))
    (i32.const 104)) (then unreachable)) i32.const 0`,
};
const GOOD = { payload: new Uint8Array([1]) };

Deno.test("a module that keeps failing is cut off, which is logged, and gets another chance", async () => {
  await using test = await startTestPool({ policy: { breaker_failures: 3, breaker_seconds: 10 } });
  test.load("moody", MOODY);
  const by = (sender: string, more = {}) =>
    fault(test, "moody", "acme", { sender, source: sender, ...more });
  for (const sender of ["a", "b", "c"]) assert.equal(await by(sender), "trap");
  for (const sender of ["a", "b", "d"]) assert.equal(await by(sender), "breaker-open");
  assert.deepEqual(test.pool.status().open_breakers, [{ tenant_id: "acme", sha256: "moody" }]);
  assert.equal(test.lines.filter((line) => line.includes("policy cut off")).length, 1);
  assert.equal(await fault(test, "moody", "other"), "trap");
  test.forward(10_000);
  assert.equal(await by("a"), "breaker-open", "it has failed");
  assert.equal(await by("d"), "trap");
  assert.equal(await by("e"), "breaker-open");
  test.forward(10_000);
  assert.equal(await by("e", GOOD), "allowed");
  assert.equal(await by("e"), "trap");
  assert.deepEqual(test.pool.status().open_breakers, []);
});

Deno.test("a sender's failures slow only this sender, with a notice, and others can still use the module", async () => {
  await using test = await startTestPool({ policy: { breaker_failures: 3 }, stands_still: true });
  test.load("moody", MOODY);
  const bad = { sender: "bad", source: "bad" };
  for (let time = 0; time < 3; time++) {
    assert.equal(await fault(test, "moody", "acme", bad), "trap");
  }
  const slowed = await test.pool.evaluate(message([policy("moody")], bad));
  assert.deepEqual([slowed.code, slowed.outcomes[0]?.fault], [429, "sender-slowed"]);
  assert.equal(slowed.outcomes[0]?.retry_after_ms, 1_000);
  assert.equal(await fault(test, "moody", "acme", GOOD), "allowed");
  assert.equal(test.lines.filter((line) => line.includes("sender slowed")).length, 1);
  assert.deepEqual(test.pool.status().open_breakers, []);
  test.forward(1_000);
  assert.equal(await fault(test, "moody", "acme", { ...bad, ...GOOD }), "allowed");
  const { body } = await exposition(test.registry);
  assert.match(body, /^shield_policy_failing_senders 1$/m);
});

Deno.test("a policy that only observes slows no sender", async () => {
  await using test = await startTestPool();
  test.load("moody", MOODY);
  const chain = [policy("moody", { mode: "observe" })];
  const observed = message(chain, { sender: "u", source: "u" });
  for (let time = 0; time < 80; time++) {
    assert.equal((await test.pool.evaluate(observed)).allowed, true);
  }
});

Deno.test("a module of which no instance can be made is cut off, and no sender is slowed", async () => {
  await using test = await startTestPool({ policy: { breaker_failures: 3 } });
  test.load("unborn", { ...ALLOW, more: '(data (i32.const 65530) "beyond the end")' });
  for (let time = 0; time < 3; time++) assert.equal(await fault(test, "unborn"), "trap");
  assert.equal(await fault(test, "unborn"), "breaker-open");
  const { body } = await exposition(test.registry);
  assert.match(body, /^shield_policy_failing_senders 0$/m);
});

Deno.test("a tenant that burns more fuel than its rate waits for it, and others do not", async () => {
  const rates = { breaker_failures: 1_000, fuel_per_second: 10_000 };
  await using test = await startTestPool({ policy: rates, stands_still: true });
  test.load("burns", { body: FOREVER });
  test.load("allow", ALLOW);
  const faults: string[] = [];
  for (let time = 0; time < 10; time++) faults.push(await fault(test, "burns"));
  assert.equal(faults[0], "fuel");
  assert.ok(faults.includes("rate"), faults.join());
  assert.equal(await fault(test, "allow", "other"), "allowed");
  const limited = await test.pool.evaluate(message([policy("allow")]));
  assert.deepEqual([limited.allowed, limited.code], [false, 429]);
  test.forward(60_000);
  assert.equal(await fault(test, "allow"), "allowed");
});

Deno.test("a flood only fills its own queue", async () => {
  await using test = await startTestPool({ policy: { queue_messages: 4 } });
  test.load("allow", ALLOW);
  const flood = Array.from({ length: 100 }, () => fault(test, "allow", "flood"));
  assert.equal(await fault(test, "allow", "calm"), "allowed");
  const answers = await Promise.all(flood);
  // 4 running and 4 waiting.
  assert.deepEqual(answers.filter((answer) => answer === "allowed").length, 8);
  assert.deepEqual(answers.filter((answer) => answer === "queue-full").length, 92);
});

Deno.test("a flooding tenant gets one turn for each turn of another tenant", async () => {
  const policy_limits = { breaker_failures: 1_000_000, fuel_per_second: 1_000_000_000 };
  await using test = await startTestPool({ policy: policy_limits });
  test.load("burns", { body: FOREVER });
  test.load("allow", ALLOW);
  let flooded = 0;
  const flood = Array.from({ length: 200 }, async () => {
    await fault(test, "burns", "flood");
    flooded++;
  });
  const seen = await Promise.all(Array.from({ length: 20 }, async () => {
    await fault(test, "allow", "calm");
    return flooded;
  }));
  // A few had ended before the calm tenant's messages came; then the turns alternate.
  assert.ok(seen.at(-1)! <= 16 + 20 + 16, `${seen.at(-1)} turns`);
  await Promise.all(flood);
});

Deno.test("a message without a verdict within stall_ms is refused; the late verdict changes nothing but is charged", async () => {
  const rates = { stall_ms: 1, breaker_failures: 1_000, fuel_per_second: 1_000_000_000 };
  await using test = await startTestPool({ policy: rates, fuel_limit: 400_000 });
  test.load("burns", { body: FOREVER });
  assert.equal(await fault(test, "burns"), "stall");
  const paid = /shield_policy_verdicts_total\{module="burns",verdict="refused",reason="stall"\} 1/;
  assert.match((await exposition(test.registry)).body, paid);
  // The worker still runs it; at the end the breaker counts it.
  await until("the late reply", () => test.lines.some((line) => line.includes("policy failed")));
  assert.match((await exposition(test.registry)).body, paid);
});

Deno.test("verdicts that arrived while this thread was blocked count, however late they are read", async () => {
  await using test = await startTestPool({ policy: { wedge_ms: 500, stall_ms: 60_000 } });
  test.load("allow", ALLOW);
  assert.equal(await fault(test, "allow"), "allowed");
  const pending = Array.from({ length: 20 }, () => fault(test, "allow"));
  // The watch uses real time and checks before the verdicts are read; the test's clock makes the pause a long one.
  const until_ms = performance.now() + 500;
  while (performance.now() < until_ms) { /* As a long collection of garbage would. */ }
  test.forward(90_000);
  assert.deepEqual(new Set(await Promise.all(pending)), new Set(["allowed"]));
});

Deno.test("a wedged worker is replaced and its module quarantined, and all else continues", async () => {
  await using test = await startTestPool({ policy: { wedge_ms: 500, stall_ms: 20_000 } });
  test.load("allow", ALLOW);
  const spins = unmeteredGuest({ body: WEDGES });
  test.pool.load("spins", spins);
  const wedged = [fault(test, "spins"), fault(test, "allow")];
  assert.deepEqual(await Promise.all(wedged), ["wedge", "wedge"]);
  const { workers_replaced, quarantined } = test.pool.status();
  assert.deepEqual([workers_replaced, quarantined], [1, ["spins"]]);
  assert.equal(await fault(test, "allow"), "allowed");
  assert.equal(await fault(test, "spins"), "wedge");
  test.pool.load("spins", spins);
  assert.equal(await fault(test, "spins"), "wedge");
  assert.ok(test.lines.some((line) => line.includes("in module spins, which is quarantined")));
  assert.deepEqual(test.fatal, []);
});

Deno.test("a worker without progress has ten times as long while the process has no core", async () => {
  await using test = await startTestPool({ policy: { wedge_ms: 100 }, cpu_ms: () => 0 });
  const began_ms = performance.now();
  await wedge(test, "spins");
  const took_ms = performance.now() - began_ms;
  assert.ok(took_ms > 900, `${took_ms} ms`);
});

/** Loads a module that spins, and calls it until its worker was replaced. */
async function wedge(test: TestPool, name: string): Promise<void> {
  test.pool.load(name, unmeteredGuest({ body: WEDGES }));
  assert.equal(await fault(test, name), "wedge");
}

Deno.test("four wedged workers within ten minutes are fatal; earlier ones are forgotten", async () => {
  await using test = await startTestPool({ policy: { wedge_ms: 100, stall_ms: 20_000_000 } });
  await wedge(test, "long ago");
  test.forward(600_000);
  const names = ["one", "two", "three"];
  for (const name of names) await wedge(test, name);
  assert.deepEqual(test.fatal, []);
  await wedge(test, "four");
  assert.deepEqual(test.fatal, ["4 policy workers wedged within 10 minutes"]);
  assert.equal(test.pool.status().workers_replaced, 5);
  // On a busy machine a worker may not have started the module within the time.
  const outside = test.lines.filter((line) => line.includes("outside of a module")).length;
  const hashes = new Set(test.quarantined.map(({ sha256 }) => sha256));
  assert.equal(hashes.size, test.quarantined.length, "each is logged once");
  assert.equal(hashes.size + outside, 5, "each is logged before the process gives up");
});

Deno.test("a policy that traps pays for each new instance: its tenant runs out of fuel, and others do not", async () => {
  const rates = { breaker_failures: 1_000, fuel_per_second: 10_000 };
  await using test = await startTestPool({ policy: rates, stands_still: true });
  test.load("traps", { body: "unreachable", pages: 64 });
  test.load("allow", ALLOW);
  const faults: string[] = [];
  for (let time = 0; time < 10; time++) faults.push(await fault(test, "traps"));
  assert.deepEqual(faults.slice(0, 2), ["trap", "trap"], "it runs while the tenant has fuel");
  assert.ok(faults.includes("rate"), faults.join());
  assert.equal(await fault(test, "allow", "other"), "allowed");
  const { body } = await exposition(test.registry);
  const made = faults.filter((one) => one === "trap").length;
  assert.match(body, new RegExp(`shield_policy_instances_total\\{module="traps"\\} ${made}\n`));
  assert.match(body, /shield_policy_instance_fuel_total\{module="traps"\} \d{5}/);
});

Deno.test("64 policies within their limits use the thread no longer than the chain's budget", async () => {
  await using test = await startTestPool({ policy: { breaker_failures: 1_000 } });
  const body = `(local.set $i (i32.const 600000)) (loop $again
    (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) i32.const 0`;
  test.load("honest", { body });
  const chain = Array.from({ length: 64 }, (_, at) => policy("honest", { name: `p${at}` }));
  const verdict = await test.pool.evaluate(message(chain));
  assert.deepEqual([verdict.allowed, verdict.code], [false, 503]);
  const ran = verdict.outcomes.filter(({ fuel }) => fuel > 0);
  assert.equal(verdict.outcomes.find(({ name }) => name === verdict.name)?.fault, "chain-fuel");
  const fuel = ran.reduce((sum, one) => sum + one.fuel + one.instance_fuel, 0);
  assert.ok(fuel > 10_000 && fuel <= 20_001, String(fuel));
  const { body: page } = await exposition(test.registry);
  assert.match(page, /reason="chain-fuel"\} 1\n/);
  assert.match(page, /shield_policy_chain_used_ratio_bucket\{le="0.9"\} 0\n/);
  assert.deepEqual(test.pool.status().open_breakers, [], "none of them has failed");
  assert.equal(await fault(test, "honest"), "allowed");
});
