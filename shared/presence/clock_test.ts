/** Clock arithmetic: group A of the presence scenarios. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { addClocks, clocksOf, dominates, lowerBound, restrictClocks, upperBound } from "./clock.ts";
import type { Clocks, LabelledClocks } from "./clock.ts";
import { writer } from "./test_replicas.ts";
import { writerKey } from "./types.ts";

const key = (name: string) => writerKey(writer(name));
const clocks = (counters: Record<string, number>): Clocks =>
  clocksOf(Object.entries(counters).map(([name, clock]) => ({ writer: writer(name), clock })));

const C1 = clocks({ a: 1, b: 2, c: 3 });
const C2 = clocks({ b: 2, c: 3, d: 1 });
const C3 = clocks({ a: 1, b: 2 });
const A: LabelledClocks = { label: "a", clocks: C1 };
const B: LabelledClocks = { label: "b", clocks: C2 };
const C: LabelledClocks = { label: "c", clocks: C3 };

const anyClocks = fc.dictionary(fc.constantFrom("a", "b", "c", "d"), fc.nat(4)).map(clocks);

Deno.test("A1 domination needs every component", () => {
  assert.ok(dominates(C1, C3));
  assert.ok(!dominates(C3, C1));
  assert.ok(!dominates(C1, C2));
  assert.ok(dominates(C1, C1));
  assert.ok(!dominates(clocks({ a: 9 }), clocks({ a: 1, b: 0 })));
});

Deno.test("A1 domination is a partial order", () => {
  fc.assert(fc.property(anyClocks, anyClocks, anyClocks, (x, y, z) => {
    assert.ok(dominates(x, x));
    if (dominates(x, y) && dominates(y, x)) {
      assert.deepEqual(new Map([...x].sort()), new Map([...y].sort()));
    }
    if (dominates(x, y) && dominates(y, z)) assert.ok(dominates(x, z));
  }));
});

Deno.test("A2 a clock set keeps only what is needed to cover the union", () => {
  assert.deepEqual(addClocks([B, C], A), [B, C]);
  assert.deepEqual(addClocks([A, B], C), [A, B]);
  assert.deepEqual(addClocks([A, B], A), [A, B]);
  assert.deepEqual(addClocks([A, B], B), [A, B]);
  assert.deepEqual(addClocks([A, C], B), [A, C, B]);
  assert.deepEqual(addClocks([B, C], A).map(({ label }) => label), ["b", "c"]);
});

Deno.test("A2 an empty clock never changes the set, one that covers everything replaces it", () => {
  const empty: LabelledClocks = { label: "e", clocks: clocks({}) };
  assert.deepEqual(addClocks([A, B], empty), [A, B]);
  assert.deepEqual(addClocks([], empty), []);
  const all: LabelledClocks = { label: "x", clocks: clocks({ a: 1, b: 2, c: 3, d: 2 }) };
  assert.deepEqual(addClocks([A, B], all), [all]);
  assert.deepEqual(addClocks([], A), [A]);
});

Deno.test("A2 the set covers everything that was ever added", () => {
  fc.assert(fc.property(fc.array(anyClocks), (added) => {
    let set: readonly LabelledClocks[] = [];
    for (const [index, each] of added.entries()) {
      set = addClocks(set, { label: String(index), clocks: each });
    }
    const union = (list: readonly Clocks[]) => list.reduce(upperBound, clocks({}));
    const kept = union(set.map((one) => one.clocks));
    assert.ok(dominates(kept, union(added)));
  }));
});

Deno.test("A3 the upper bound has the higher counter of each writer", () => {
  const one = clocks({ a: 1, b: 2, c: 2 });
  const other = clocks({ a: 3, b: 1, d: 2 });
  assert.deepEqual(upperBound(one, other), clocks({ a: 3, b: 2, c: 2, d: 2 }));
  assert.deepEqual(upperBound(one, clocks({})), one);
  assert.deepEqual(upperBound(clocks({}), other), other);
});

Deno.test("A4 the lower bound keeps what only one side knows", () => {
  const one = clocks({ a: 1, b: 2, c: 2 });
  const other = clocks({ a: 3, b: 1, d: 2 });
  assert.deepEqual(lowerBound(one, other), clocks({ a: 1, b: 1, c: 2, d: 2 }));
  assert.deepEqual(lowerBound(one, clocks({})), one);
  assert.deepEqual(lowerBound(clocks({}), other), other);
});

Deno.test("A5 restricting a clock keeps the named writers that it has", () => {
  assert.deepEqual(restrictClocks(C1, [key("a"), key("b")]), C3);
  assert.deepEqual(restrictClocks(C1, [key("a"), key("d")]), clocks({ a: 1 }));
  assert.deepEqual(restrictClocks(C1, [key("d")]), clocks({}));
});

Deno.test("A6 a clock's keys are its writers", () => {
  assert.deepEqual([...clocks({}).keys()], []);
  assert.deepEqual([...clocks({ a: 1 }).keys()], [key("a")]);
  assert.deepEqual([...C3.keys()], [key("a"), key("b")]);
});
