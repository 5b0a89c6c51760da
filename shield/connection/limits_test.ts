/** Connection counters. How a connection obeys them is `tests/limits_test.ts`. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Registry } from "prom-client";
import { createConnectionCounters } from "./limits.ts";

const LIMITS = { connections_per_user: 2, connections_per_tenant: 3, connections_per_process: 4 };
const user = (tenant_id: string, user_key: string) => ({ tenant_id, user_key });

Deno.test("users, tenants and the process each have their own number of connections", async () => {
  const registry = new Registry();
  const counters = createConnectionCounters(LIMITS, registry);
  counters.acquire(user("acme", "u1"));
  counters.acquire(user("acme", "u1"));
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
  counters.release(user("acme", "u1"));
  assert.deepEqual([counters.open(), counters.open("acme")], [3, 2]);
  counters.acquire(user("acme", "u1"));
  const metrics = await registry.metrics();
  for (const [scope, refusals] of [["user", 1], ["tenant", 1], ["process", 2]]) {
    assert.ok(metrics.includes(`shield_connections_refused_total{scope="${scope}"} ${refusals}\n`));
  }
});

Deno.test("for any sequence of connections, the counts equal the open connections", () => {
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
    const open: ReturnType<typeof user>[] = [];
    for (const { identity, leave } of steps) {
      if (identity === undefined) {
        open.splice(leave % Math.max(1, open.length), 1).forEach(counters.release);
      } else {
        try {
          counters.acquire(identity);
          open.push(identity);
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
    open.forEach(counters.release);
    assert.deepEqual(counters.distinct(), { users: 0, tenants: 0 }, "nothing is kept");
  }));
});
