/** Rates of connections, users, tenants and the process, with a clock as argument. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Registry } from "prom-client";
import { configFrom } from "../../shared/config/load.ts";
import { HttpRates } from "./http_rates.ts";
import { type Rates, RateTable, REFUSALS_BEFORE_REST } from "./rates.ts";

const START_MS = 1_700_000_000_000;

function testTable(limits: Record<string, number>) {
  const registry = new Registry();
  const table = new RateTable(configFrom({ limits }).limits, registry, START_MS);
  const open = (tenant_id: string, user_key: string, now_ms = START_MS) =>
    table.open({ tenant_id, user_key }, now_ms);
  return { table, registry, open };
}

/** The number of operations out of `count` that pass at one moment. */
function passes(rates: Rates, count: number, size_bytes = 10, now_ms = START_MS): number {
  let passed = 0;
  for (let sent = 0; sent < count; sent++) {
    if (rates.take(size_bytes, now_ms) === undefined) passed++;
  }
  return passed;
}

Deno.test("each scope has its rate for messages and for bytes, and the refusal names it", () => {
  for (const scope of ["connection", "user", "tenant", "process"]) {
    for (const unit of ["messages", "bytes"]) {
      const prefix = scope === "connection" ? "" : `${scope}_`;
      const { open, table } = testTable({ [`${prefix}${unit}_per_second`]: 50 });
      const rates = open("acme", "ann");
      const amount = unit === "messages" ? 0 : 1;
      assert.ok(passes(rates, 100, amount) >= 50, `${scope} ${unit}`);
      passes(rates, 100, amount);
      const refusal = rates.take(amount, START_MS);
      assert.ok(refusal !== undefined, `${scope} ${unit}`);
      assert.deepEqual([refusal.reason, refusal.code], ["rate-limited", 429]);
      assert.ok((refusal.retry_after_ms ?? 0) > 0);
      const figure = `this ${scope} has 50 ${unit} a second`;
      assert.ok(refusal.message.includes(figure), refusal.message);
      assert.ok(refusal.message.endsWith(`retry after ${refusal.retry_after_ms} ms`));
      const total = Object.values(table.refusals).reduce((sum, count) => sum + count);
      assert.equal(table.refusals[scope as keyof RateTable["refusals"]], total);
    }
  }
});

Deno.test("an operation that one rate refuses is charged to none", () => {
  const { open } = testTable({ bytes_per_second: 50, user_messages_per_second: 2 });
  const fat = open("acme", "ann");
  assert.equal(passes(fat, 1, 100), 1);
  assert.equal(passes(fat, 20, 100), 0, "its bytes are used up");
  assert.equal(passes(open("acme", "ann"), 10, 1), 3, "the user's messages are not");
});

Deno.test("connections of a user share one rate, users of a tenant another", () => {
  const { open } = testTable({ user_messages_per_second: 5, tenant_messages_per_second: 8 });
  const first = open("acme", "ann");
  const second = open("acme", "ann");
  assert.equal(passes(first, 6), 6);
  assert.equal(passes(second, 6), 4, "ten for the user");
  assert.equal(passes(open("acme", "bob"), 10), 6, "sixteen for the tenant");
  assert.equal(passes(open("globex", "eve"), 20), 10, "and nothing of that for another");
});

Deno.test("HTTP requests and connections of a user and a tenant share rates", () => {
  const { open, table } = testTable({ user_messages_per_second: 5, tenant_messages_per_second: 8 });
  const http = new HttpRates(table, () => START_MS);
  assert.equal(passes(open("acme", "ann"), 7), 7);
  for (let count = 0; count < 3; count++) http.take({ tenant_id: "acme", user_key: "ann" }, 10);
  const refused = { reason: "rate-limited", message: /this user has 5 messages a second/ };
  assert.throws(() => http.take({ tenant_id: "acme", user_key: "ann" }, 10), refused);
  for (let count = 0; count < 6; count++) http.take({ tenant_id: "acme", user_key: "bob" }, 10);
  assert.throws(() => http.take({ tenant_id: "acme", user_key: "bob" }, 10), /this tenant has 8/);
});

Deno.test("HTTP users are dropped after a minute, and their rates with them", () => {
  const { table } = testTable({});
  const clock = { now_ms: START_MS };
  const http = new HttpRates(table, () => clock.now_ms);
  for (let user = 0; user < 50; user++) http.take({ tenant_id: "a", user_key: `${user}` }, 1);
  assert.deepEqual(table.tracked(), { users: 50, tenants: 1 });
  clock.now_ms += 60_000;
  http.take({ tenant_id: "b", user_key: "last" }, 1);
  assert.deepEqual(table.tracked(), { users: 1, tenants: 1 });
});

Deno.test("a returning user has the same rates", () => {
  const { open, table } = testTable({ user_messages_per_second: 5 });
  const first = open("acme", "ann");
  assert.equal(passes(first, 20), 10);
  first.close(START_MS);
  first.close(START_MS);
  assert.equal(passes(open("acme", "ann"), 20), 0);
  assert.deepEqual(table.tracked(), { users: 1, tenants: 1 });
});

Deno.test("users and tenants that left are dropped once their buckets are full", () => {
  const { open, table } = testTable({ user_messages_per_second: 5, connections_per_process: 10 });
  const first = open("acme", "ann");
  passes(first, 10);
  first.close(START_MS + 10);
  open("globex", "eve", START_MS + 1_999);
  assert.deepEqual(table.tracked(), { users: 2, tenants: 1 }, "the tenant had spent nothing");
  open("globex", "eve", START_MS + 2_000);
  assert.deepEqual(table.tracked(), { users: 1, tenants: 1 });
  for (let user = 0; user < 100; user++) {
    const rates = open("globex", `${user}`, START_MS + 2_000);
    passes(rates, 10, 1, START_MS + 2_000);
    rates.close(START_MS + 2_000);
  }
  assert.equal(table.tracked().users, 11, "never more idle ones than connections");
});

Deno.test("for any connections and disconnections, all connected ones are tracked, and few others", () => {
  const step = fc.record({
    user: fc.constantFrom("x", "y", "z"),
    tenant: fc.constantFrom("a", "b"),
    leave: fc.boolean(),
    wait_ms: fc.nat(1_000),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const { open, table } = testTable({ connections_per_process: 1 });
    const connected: { rates: Rates; user: string; tenant: string }[] = [];
    let now_ms = START_MS;
    for (const { user, tenant, leave, wait_ms } of steps) {
      now_ms += wait_ms;
      if (leave) connected.pop()?.rates.close(now_ms);
      else connected.push({ user, tenant, rates: open(tenant, user, now_ms) });
      connected.at(-1)?.rates.take(100, now_ms);
      const users = new Set(connected.map((one) => one.user)).size;
      const tenants = new Set(connected.map((one) => one.tenant)).size;
      const tracked = table.tracked();
      assert.ok(tracked.users >= users && tracked.users <= users + 1);
      assert.ok(tracked.tenants >= tenants && tracked.tenants <= tenants + 1);
    }
  }));
});

Deno.test("only a client that continues floods: an advised pause resets it, and so does moderation", () => {
  const { open } = testTable({ messages_per_second: 10, rate_refusals: 50 });
  const rates = open("acme", "ann");
  passes(rates, 20 + 50);
  assert.equal(rates.floods, false, "as many as the limit");
  const advised_ms = rates.take(10, START_MS)?.retry_after_ms ?? 0;
  assert.equal(rates.floods, true, "one more");
  assert.equal(advised_ms, 100);
  passes(rates, 1, 10, START_MS + advised_ms);
  assert.equal(rates.floods, false, "it waited");
  let now_ms = START_MS + 10_000;
  passes(rates, 20, 10, now_ms);
  for (let sent = 0; sent < 1_000; sent++) passes(rates, 1, 10, now_ms += 51);
  assert.equal(rates.floods, false, "twice the rate for any time");
  for (let sent = 0; sent < 1_000 && !rates.floods; sent++) passes(rates, 1, 10, now_ms += 20);
  assert.equal(rates.floods, true, "five times the rate");
});

Deno.test("a burst is refused at once, and a client that continues must rest sometimes", () => {
  const { open } = testTable({ messages_per_second: 10 });
  const rates = open("acme", "ann");
  const waits_ms = Array.from({ length: 3 * REFUSALS_BEFORE_REST }, (_, at) => at + 1);
  const rests = waits_ms.map((retry_after_ms) => rates.restMs({ retry_after_ms }));
  const when = rests.flatMap((rest_ms, at) => rest_ms > 0 ? [at + 1] : []);
  assert.deepEqual(when, [1, 2, 3].map((times) => times * REFUSALS_BEFORE_REST));
  assert.equal(rests[REFUSALS_BEFORE_REST - 1], REFUSALS_BEFORE_REST, "as long as advised");
});

Deno.test("more operations pass after a rest than are refused between two, at any rate", () => {
  const { open } = testTable({ messages_per_second: 20_000 });
  const rates = open("acme", "ann");
  let now_ms = START_MS;
  let all = 0;
  let passed = 0;
  for (let rest_ms = 0; now_ms < START_MS + 1_000; now_ms += rest_ms) {
    for (rest_ms = 0; rest_ms === 0; all++) {
      const refusal = rates.take(10, now_ms);
      if (refusal === undefined) passed++;
      else rest_ms = rates.restMs(refusal);
    }
  }
  assert(passed >= 60_000 - 200, `its rate: ${passed}`);
  assert(all - passed < 10_000, `${all - passed} refused in a second`);
});

Deno.test("equal refusals by a rate are one object", () => {
  const { open } = testTable({ messages_per_second: 10 });
  const ann = open("acme", "ann");
  const bob = open("acme", "bob");
  for (const rates of [ann, bob]) passes(rates, 20);
  const first = ann.take(10, START_MS);
  assert.equal(first?.retry_after_ms, 100);
  assert.equal(bob.take(10, START_MS), first);
  const later = ann.take(10, START_MS + 50);
  assert.deepEqual([later?.retry_after_ms, first?.retry_after_ms], [50, 100]);
  assert.match(later?.message ?? "", /retry after 50 ms/);
});

Deno.test("a short advised wait does not reset it: frames of one batch are no pause", () => {
  const { open } = testTable({ messages_per_second: 10_000, rate_refusals: 100 });
  const rates = open("acme", "ann");
  let now_ms = START_MS;
  passes(rates, 20_000);
  for (let batch = 0; batch < 10 && !rates.floods; batch++) passes(rates, 100, 1, now_ms += 5);
  assert.equal(rates.floods, false, "fifty per batch are allowed, and as many were refused");
  for (let batch = 0; batch < 10 && !rates.floods; batch++) passes(rates, 500, 1, now_ms += 5);
  assert.equal(rates.floods, true);
});

Deno.test("a flood of one tenant leaves another its share of the process, in bytes too", () => {
  for (const unit of ["messages", "bytes"] as const) {
    const { open } = testTable({ [`process_${unit}_per_second`]: 1_000 });
    const flood = open("acme", "ann");
    const modest = open("globex", "eve");
    const size_bytes = unit === "messages" ? 0 : 1;
    let refused = 0;
    for (let now_ms = START_MS; now_ms < START_MS + 4_000; now_ms++) {
      passes(flood, 50, size_bytes, now_ms);
      if (now_ms % 5 === 0) refused += 1 - passes(modest, 1, size_bytes, now_ms);
    }
    assert.equal(refused, 0, unit);
  }
});

Deno.test("metrics: refusals by scope, and tracked users", async () => {
  const { open, registry } = testTable({ messages_per_second: 1, tenant_messages_per_second: 2 });
  passes(open("acme", "ann"), 5);
  passes(open("acme", "bob"), 2);
  open("globex", "ann");
  passes(open("acme", "eve"), 3);
  const metrics = await registry.metrics();
  for (
    const line of [
      'shield_rate_refusals_total{scope="connection"} 3',
      'shield_rate_refusals_total{scope="tenant"} 3',
      'shield_rate_refusals_total{scope="process"} 0',
      'shield_rates{scope="user"} 3',
      'shield_rates{scope="tenant"} 2',
    ]
  ) assert.ok(metrics.includes(`${line}\n`), `${line}\n${metrics}`);
});
