/**
 * Token buckets and connection counters with a clock as argument. How a connection obeys them is
 * `tests/limits_test.ts`.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Registry } from "prom-client";
import {
  createBucket,
  createConnectionCounters,
  createRates,
  take,
  takeOperation,
} from "./limits.ts";

Deno.test("a bucket gives its burst at once, then its rate", () => {
  const bucket = createBucket(10, 0);
  for (let taken = 0; taken < 20; taken += 1) assert.equal(take(bucket, 1, 0), 0);
  assert.equal(take(bucket, 1, 0), 100);
  assert.equal(take(bucket, 1, 99), 1);
  assert.equal(take(bucket, 1, 100), 0);
  assert.equal(take(bucket, 1, 100), 100);
  assert.equal(take(bucket, 20, 10_000), 0, "a long rest fills the burst, not more");
  assert.equal(take(bucket, 1, 10_000), 100);
});

Deno.test("a refused amount takes nothing", () => {
  const bucket = createBucket(1, 0, 5);
  assert.equal(take(bucket, 3, 0), 0);
  assert.equal(take(bucket, 3, 0), 1_000);
  assert.equal(take(bucket, 2, 0), 0);
});

Deno.test("more than the burst passes a full bucket and is paid back afterwards", () => {
  const bucket = createBucket(100, 0, 200);
  assert.equal(take(bucket, 500, 0), 0);
  assert.equal(take(bucket, 1, 0), 3_010);
  assert.equal(take(bucket, 1, 3_010), 0);
  assert.equal(take(bucket, 500, 3_010), 2_000, "not until it is full again");
});

Deno.test("a clock that goes backwards neither fills the bucket nor locks it", () => {
  const bucket = createBucket(10, 1_000_000, 10);
  assert.equal(take(bucket, 10, 1_000_000), 0);
  assert.equal(take(bucket, 1, 0), 100);
  assert.equal(take(bucket, 1, 100), 0);
});

Deno.test("whatever the pattern, the rate holds and the advised wait is exact", () => {
  const step = fc.record({ wait_ms: fc.nat(500), amount: fc.integer({ min: 1, max: 30 }) });
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 1_000 }),
    fc.array(step, { maxLength: 60 }),
    (per_second, steps) => {
      const bucket = createBucket(per_second, 0, Math.max(30, per_second * 2));
      let now_ms = 0;
      let taken = 0;
      for (const { wait_ms, amount } of steps) {
        now_ms += wait_ms;
        const retry_after_ms = take(bucket, amount, now_ms);
        if (retry_after_ms === 0) taken += amount;
        else {
          assert.ok(Number.isInteger(retry_after_ms) && retry_after_ms > 0);
          const later = { ...bucket };
          assert.equal(take(later, amount, now_ms + retry_after_ms), 0);
        }
        assert.ok(taken <= bucket.burst + per_second * now_ms / 1_000 + 1e-6);
      }
    },
  ));
});

Deno.test("an operation takes from both rates or from neither", () => {
  const rates = createRates({ messages_per_second: 2, bytes_per_second: 100 }, 0);
  assert.equal(takeOperation(rates, 150, 0), 0);
  assert.equal(takeOperation(rates, 100, 0), 500, "the bytes refuse");
  assert.equal(rates.messages.thousandths, 3_000, "and the message is not taken");
  for (let sent = 0; sent < 3; sent += 1) assert.equal(takeOperation(rates, 0, 0), 0);
  assert.equal(takeOperation(rates, 0, 0), 500, "the messages refuse");
  assert.equal(rates.bytes.thousandths, 50_000, "and the bytes are not taken");
});

const LIMITS = { connections_per_user: 2, connections_per_tenant: 3, connections_per_process: 4 };
const user = (tenant_id: string, user_key: string) => ({ tenant_id, user_key });

Deno.test("users, tenants and the process each have their own number of connections", async () => {
  const registry = new Registry();
  const counters = createConnectionCounters(LIMITS, registry);
  counters.acquire(user("acme", "u1"));
  const release = counters.acquire(user("acme", "u1"));
  assert.throws(() => counters.acquire(user("acme", "u1")), {
    reason: "too-many-connections",
    code: 429,
    message: "Too many connections: this user has 2",
  });
  counters.acquire(user("acme", "u2"));
  assert.throws(() => counters.acquire(user("acme", "u3")), {
    reason: "too-many-connections",
    message: "Too many connections: this tenant has 3",
  });
  counters.requireRoom();
  counters.acquire(user("globex", "u4"));
  assert.throws(() => counters.acquire(user("globex", "u5")), { reason: "at-capacity", code: 503 });
  assert.throws(() => counters.requireRoom(), { reason: "at-capacity" });
  assert.deepEqual([counters.open(), counters.open("acme"), counters.open("nobody")], [4, 3, 0]);
  release();
  release();
  assert.deepEqual([counters.open(), counters.open("acme")], [3, 2], "released once only");
  counters.acquire(user("acme", "u1"));
  const metrics = await registry.metrics();
  for (const [scope, refusals] of [["user", 1], ["tenant", 1], ["process", 2]]) {
    assert.ok(metrics.includes(`shield_connections_refused_total{scope="${scope}"} ${refusals}\n`));
  }
});

Deno.test("whatever comes and goes, the counts are those of the open connections", () => {
  const who = fc.record({
    tenant_id: fc.constantFrom("a", "b", "c"),
    user_key: fc.constantFrom("x", "y", "z"),
  });
  const step = fc.oneof(
    who.map((identity) => ({ identity, leave: -1 })),
    fc.nat(9).map((leave) => ({ identity: undefined, leave })),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const counters = createConnectionCounters(LIMITS, new Registry());
    const open: { tenant_id: string; user_key: string; release: () => void }[] = [];
    for (const { identity, leave } of steps) {
      if (identity === undefined) open.splice(leave % Math.max(1, open.length), 1)[0]?.release();
      else {
        try {
          open.push({ ...identity, release: counters.acquire(identity) });
        } catch {
          const of = open.filter((one) => one.tenant_id === identity.tenant_id).length;
          const by = open.filter((one) => one.user_key === identity.user_key).length;
          assert.ok(open.length === 4 || of === 3 || by === 2, "refused below every limit");
        }
      }
      assert.equal(counters.open(), open.length);
      assert.deepEqual(counters.distinct(), {
        users: new Set(open.map((one) => one.user_key)).size,
        tenants: new Set(open.map((one) => one.tenant_id)).size,
      });
    }
    for (const one of open) one.release();
    assert.deepEqual(counters.distinct(), { users: 0, tenants: 0 }, "nothing is kept");
  }));
});
