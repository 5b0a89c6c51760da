/** Fair turns against a model. Pure. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createTurns, UNBOUNDED } from "./tenant_turns.ts";

const LIMITS = { per_tenant: 5, total: 12, total_bytes: 100 };
const tenant = fc.constantFrom("a", "b", "c", "d");
const operation = fc.oneof(
  { weight: 2, arbitrary: fc.record({ push: tenant, size: fc.nat({ max: 110 }) }) },
  { weight: 1, arbitrary: fc.constant("take" as const) },
);

Deno.test("nothing is lost or duplicated, limits hold, each tenant's items stay in order", () => {
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
Deno.test("a newcomer displaces an item of the tenant with most waiting items", () => {
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

Deno.test("with thousands of changing tenants each gets its turn", () => {
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

Deno.test("turns follow the used time: two tenants with work get the same, whatever an item costs", () => {
  const cost_ms: Readonly<Record<string, number>> = { heavy: 5, light: 0.1 };
  const turns = createTurns<string>(UNBOUNDED);
  const used_ms: Record<string, number> = { heavy: 0, light: 0 };
  const waits: number[] = [];
  let before_ms = 0;
  for (let at = 0; at < 5_000; at++) {
    for (const name of ["heavy", "light"]) turns.push(name, name, 1);
  }
  for (let at = 0; at < 4_000; at++) {
    const name = turns.take()!;
    turns.charge(name, cost_ms[name]!);
    used_ms[name]! += cost_ms[name]!;
    if (name === "heavy") before_ms += cost_ms[name]!;
    else waits.push(before_ms), before_ms = 0;
  }
  const { heavy = 0, light = 0 } = used_ms;
  assert.ok(light > heavy * 0.8, `${light} ms of ${heavy}: by messages it would be a fiftieth`);
  assert.ok(Math.max(...waits) <= 5, "never two heavy ones before a light one");
});

Deno.test("a pausing tenant saves up nothing, and a tenant that was alone owes nothing", () => {
  const turns = createTurns<string>(UNBOUNDED);
  for (let at = 0; at < 10; at++) turns.push("busy", "busy", 1);
  for (let at = 0; at < 5; at++) turns.charge(turns.take()!, 100);
  for (let at = 0; at < 10; at++) turns.push("late", "late", 1);
  const order = [];
  for (let at = 0; at < 8; at++) {
    const name = turns.take()!;
    turns.charge(name, 100);
    order.push(name);
  }
  assert.ok(order.slice(0, 3).includes("busy"), order.join());
  assert.equal(order.filter((name) => name === "late").length, 4, order.join());
});

Deno.test("a charge after its item was taken still counts", () => {
  const turns = createTurns<string>(UNBOUNDED);
  turns.push("a", "a 1", 1);
  assert.equal(turns.take(), "a 1");
  turns.charge("a", 50);
  turns.charge("nobody", 50);
  turns.push("a", "a 2", 1);
  turns.push("b", "b 1", 1);
  assert.deepEqual([turns.take(), turns.take()], ["b 1", "a 2"]);
});

Deno.test("all items of one tenant are taken in order, and none of another", () => {
  const turns = createTurns<string>(UNBOUNDED);
  for (const item of ["a 1", "b 1", "a 2", "b 2"]) turns.push(item[0]!, item, 3);
  assert.deepEqual(turns.takeAll("a"), ["a 1", "a 2"]);
  assert.deepEqual(turns.takeAll("a"), []);
  assert.deepEqual([turns.size, turns.bytes], [2, 6]);
  assert.deepEqual([turns.take(), turns.take(), turns.take()], ["b 1", "b 2", undefined]);
});

Deno.test("the order equals a sorted list's, for any arrivals, removals and charges", () => {
  const step = fc.oneof(
    fc.record({ push: tenant }),
    fc.record({ charge: tenant, ms: fc.nat({ max: 20 }) }),
    fc.constant("take" as const),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const turns = createTurns<string>(UNBOUNDED);
    const used = new Map<string, { us: number; arrival: number; waiting: number }>();
    const of = (name: string) => {
      const known = used.get(name) ?? { us: 0, arrival: 0, waiting: 0 };
      used.set(name, known);
      return known;
    };
    let clock_us = 0;
    let arrivals = 0;
    for (const one of steps) {
      if (one === "take") {
        const [next] = [...used].filter(([, { waiting }]) => waiting > 0)
          .sort(([, a], [, b]) => a.us - b.us || a.arrival - b.arrival);
        assert.equal(turns.take(), next?.[0]);
        if (next === undefined) continue;
        clock_us = Math.max(clock_us, next[1].us);
        next[1].us += 10;
        next[1].arrival = ++arrivals;
        next[1].waiting--;
      } else if ("push" in one) {
        const lane = of(one.push);
        if (lane.waiting++ === 0) {
          lane.us = Math.max(lane.us, clock_us);
          lane.arrival = ++arrivals;
        }
        turns.push(one.push, one.push, 1);
      } else {
        turns.charge(one.charge, one.ms);
        const lane = used.get(one.charge);
        if (lane !== undefined) lane.us += one.ms * 1_000;
      }
    }
  }));
});

Deno.test("an immediate turn, with nothing waiting, costs the same as a queued one", () => {
  const step = fc.record({ tenant, used_ms: fc.nat({ max: 3 }) });
  const later = fc.array(tenant, { minLength: 1, maxLength: 30 });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), later, (steps, pushes) => {
    const waited = createTurns<string>(UNBOUNDED);
    const passed = createTurns<string>(UNBOUNDED);
    for (const { tenant, used_ms } of steps) {
      waited.push(tenant, tenant, 1);
      assert.equal(waited.take(), tenant);
      passed.pass(tenant);
      for (const turns of [waited, passed]) turns.charge(tenant, used_ms);
      assert.equal(passed.size, 0);
    }
    for (const turns of [waited, passed]) {
      for (const name of pushes) turns.push(name, name, 1);
    }
    for (const _ of pushes) assert.equal(passed.take(), waited.take());
    assert.equal(passed.take(), undefined);
  }));
});
