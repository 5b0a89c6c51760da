/**
 * Fair turns against a model. Pure.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createTurns, UNBOUNDED } from "./pool_turns.ts";

const LIMITS = { per_tenant: 5, total: 12, total_bytes: 100 };
const tenant = fc.constantFrom("a", "b", "c", "d");
const operation = fc.oneof(
  { weight: 2, arbitrary: fc.record({ push: tenant, size: fc.nat({ max: 110 }) }) },
  { weight: 1, arbitrary: fc.constant("take" as const) },
);

Deno.test("nothing is lost or doubled, limits hold, each tenant's items keep their order", () => {
  fc.assert(fc.property(fc.array(operation, { maxLength: 150 }), (operations) => {
    const turns = createTurns<{ tenant: string; id: number; size: number }>(LIMITS);
    const inside = new Map<number, { tenant: string; size: number }>();
    const last = new Map<string, number>();
    const leave = (id: number) => assert.ok(inside.delete(id), `item ${id} left twice`);
    let next_id = 0;
    const out = (item: { tenant: string; id: number } | undefined) => {
      assert.equal(item === undefined, inside.size === 0);
      if (item === undefined) return;
      leave(item.id);
      assert.ok(item.id > (last.get(item.tenant) ?? -1));
      last.set(item.tenant, item.id);
    };
    for (const step of operations) {
      if (step === "take") out(turns.take());
      else {
        const id = next_id++;
        inside.set(id, { tenant: step.push, size: step.size });
        const item = { tenant: step.push, id, size: step.size };
        for (const gone of turns.push(step.push, item, step.size)) leave(gone.id);
      }
      const waiting = [...inside.values()];
      const bytes = waiting.reduce((sum, { size }) => sum + size, 0);
      assert.deepEqual([turns.size, turns.bytes], [waiting.length, bytes]);
      assert.ok(turns.size <= LIMITS.total && turns.bytes <= LIMITS.total_bytes);
      for (const name of ["a", "b", "c", "d"]) {
        assert.ok(waiting.filter((item) => item.tenant === name).length <= LIMITS.per_tenant);
      }
    }
    for (const item of turns.drain()) leave(item.id);
    assert.deepEqual([inside.size, turns.size, turns.bytes], [0, 0, 0]);
  }));
});

Deno.test("between two items of a waiting tenant every other one gets at most one", () => {
  fc.assert(fc.property(fc.array(tenant, { minLength: 1, maxLength: 200 }), (pushes) => {
    const turns = createTurns<string>(UNBOUNDED);
    for (const name of pushes) turns.push(name, name, 1);
    const since = new Map<string, Map<string, number>>();
    const taken = new Map<string, number>();
    const takenOf = (name: string) => taken.get(name) ?? 0;
    for (let item = turns.take(); item !== undefined; item = turns.take()) {
      for (const [name, counts] of since) {
        if (name === item) continue;
        const served = (counts.get(item) ?? 0) + 1;
        counts.set(item, served);
        const waits = pushes.filter((push) => push === name).length > takenOf(name);
        if (waits) assert.ok(served <= 1, `${item} had ${served} turns while ${name} waited`);
      }
      since.set(item, new Map());
      taken.set(item, takenOf(item) + 1);
    }
  }));
});
Deno.test("a newcomer takes a place of the tenant that has most waiting", () => {
  const turns = createTurns<string>({ per_tenant: 10, total: 4, total_bytes: 1_000 });
  for (const id of [1, 2, 3]) turns.push("flood", `flood ${id}`, 10);
  turns.push("calm", "calm 1", 10);
  assert.deepEqual(turns.push("flood", "flood 4", 10), ["flood 4"]);
  assert.deepEqual(turns.push("new", "new 1", 10), ["flood 3"]);
  assert.deepEqual([turns.take(), turns.take(), turns.take()], ["flood 1", "calm 1", "new 1"]);
});

Deno.test("a tenant that may not go now is passed over", () => {
  const turns = createTurns<string>(UNBOUNDED);
  turns.push("a", "a 1", 1);
  turns.push("b", "b 1", 1);
  assert.equal(turns.take((name) => name !== "a"), "b 1");
  assert.equal(turns.take((name) => name !== "a"), undefined);
  assert.equal(turns.take(), "a 1");
});

Deno.test("tenants come and go by thousands, each gets its turn", () => {
  const turns = createTurns<string>(UNBOUNDED);
  const names = Array.from({ length: 3_000 }, (_, index) => `tenant-${index}`);
  for (let round = 0; round < 3; round++) {
    for (const item of [1, 2]) for (const name of names) turns.push(name, `${name}/${item}`, 1);
    for (const item of [1, 2]) {
      for (const name of names) assert.equal(turns.take(), `${name}/${item}`);
    }
    assert.equal(turns.take(), undefined);
  }
});
