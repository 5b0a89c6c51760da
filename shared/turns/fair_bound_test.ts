/** Shares of a bound: a single tenant may use most of it, and the next tenant always has room. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FairBound, fairLevel } from "./fair_bound.ts";

/** Queues pieces for a tenant until there is no room; returns its bytes. */
function fill(shares: FairBound, tenant: string, piece: number): number {
  let held = 0;
  for (; shares.hasRoom(tenant, piece); held += piece) shares.add(tenant, piece);
  return held;
}

Deno.test("a shared bound: a single tenant may use four fifths, and each further one four times the rest", () => {
  const shares = new FairBound(10_000, 4);
  assert.equal(fill(shares, "a", 10), 8_000);
  assert.equal(fill(shares, "b", 10), 1_600);
  assert.equal(fill(shares, "c", 10), 320);
  assert.equal(fill(shares, "a", 10), 0);
  assert.equal(shares.total, 9_920);
  shares.add("a", -8_000);
  assert.equal(fill(shares, "c", 10), 6_400);
});

Deno.test("a shared bound: for any load, the limit holds, and released bytes are free", () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(300));
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const shares = new FairBound(1_000, 4);
    const held: [string, number][] = [];
    for (const [tenant, size] of steps) {
      if (!shares.hasRoom(tenant, size)) continue;
      shares.add(tenant, size);
      held.push([tenant, size]);
      assert(shares.total <= 1_000);
    }
    for (const [tenant, size] of held) shares.add(tenant, -size);
    assert.equal(shares.total, 0);
    assert(shares.hasRoom("d", 800));
  }));
});

Deno.test("a fair level: all together have at most the bound, and nobody could have more", () => {
  const needs = fc.array(fc.nat(50), { maxLength: 8 });
  fc.assert(fc.property(fc.nat(200), needs, (most, all) => {
    const level = fairLevel(most, all);
    const sumAt = (at: number) => all.reduce((sum, need) => sum + Math.min(need, at), 0);
    assert(sumAt(level) <= most);
    if (level !== Infinity) assert(sumAt(level + 1) > most);
  }));
});

Deno.test("a shared bound: the last unit is for a tenant that holds none", () => {
  const bound = new FairBound(2);
  assert.deepEqual(["a", "a", "b", "c"].map((name) => bound.take(name)), [
    true,
    false,
    true,
    false,
  ]);
});
