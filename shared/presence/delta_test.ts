/** Deltas alone: F2 of the presence scenarios, and the effect of combining. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { absorbGroup, deltaSize, draftOf, draftSize, inBirthOrder, seal } from "./delta.ts";
import type { DeltaGroup } from "./delta.ts";
import { createState, leave, takeDelta } from "./state.ts";
import { covered, delta, drafted, enter, entry, TENANT, writer } from "./testing/replicas.ts";
import { type Delta, writerKey } from "./types.ts";

const R1 = writer("r1");
const R2 = writer("r2");

function combined(...deltas: readonly Delta[]): Delta[] {
  const group: DeltaGroup = new Map();
  for (const each of deltas) assert.ok(absorbGroup(group, [each]));
  return [...group.values()].map(seal);
}

Deno.test("F2 deltas with something missing between them do not combine", () => {
  const r1 = createState(R1);
  enter(r1, "one");
  const first = drafted(r1);
  enter(r1, "two");
  takeDelta(r1);
  enter(r1, "three");
  const third = drafted(r1);
  const before = structuredClone([first, third]);
  const later: DeltaGroup = new Map([[writerKey(R1), draftOf(third)]]);
  assert.equal(absorbGroup(later, [first]), false);
  assert.deepEqual([...later.values()].map(seal), [third]);
  assert.deepEqual([first, third], before);
  const group: DeltaGroup = new Map([[writerKey(R1), draftOf(first)]]);
  assert.equal(absorbGroup(group, [delta(R2, 0, 1), third]), false);
  assert.deepEqual([...group.values()].map(seal), [first]);
});

/** A writer's history: at each step one of a few connections joins, leaves, or changes. */
const history = fc.array(fc.record({ who: fc.nat(4), cut: fc.boolean() }), {
  maxLength: 30,
  size: "max",
});

/** The deltas between the cuts, and for every pair of cuts the delta that covers both. */
function replay(steps: readonly { who: number; cut: boolean }[]) {
  const state = createState(R1);
  const pieces: Delta[] = [];
  for (const { who, cut } of steps) {
    if (leave(state, TENANT, "lobby", `c${who}`) === undefined) enter(state, `c${who}`);
    const piece = cut ? takeDelta(state) : undefined;
    if (piece !== undefined) pieces.push(piece);
  }
  return pieces;
}

Deno.test("combining is associative, commutative and idempotent where it is defined", () => {
  fc.assert(fc.property(history, fc.nat(), fc.nat(), (steps, i, j) => {
    const pieces = replay(steps);
    if (pieces.length < 3) return;
    const at = 1 + i % (pieces.length - 2);
    const a = pieces[at - 1]!;
    const b = pieces[at]!;
    const c = pieces[at + 1]!;
    const one = (...parts: Delta[]) => combined(...parts)[0]!;
    const ab = one(a, b);
    const abc = one(ab, c);
    assert.deepEqual(one(b, a), ab);
    assert.deepEqual(one(a, one(b, c)), abc);
    assert.deepEqual(one(c, ab), abc);
    for (const part of [a, b, c, ab, abc, pieces[at - 1 + j % 3]!]) {
      assert.deepEqual(one(abc, part), abc);
      assert.deepEqual(one(part, abc), abc);
    }
    assert.ok(deltaSize(abc) <= deltaSize(a) + deltaSize(b) + deltaSize(c));
  }));
});

Deno.test("the size of a delta is its entries plus its covered tags", () => {
  const some = delta(R1, 3, 7, [entry(4, "x"), entry(7, "y")], [1, 6]);
  assert.equal(deltaSize(some), 2 + covered(some).length);
  assert.equal(draftSize(draftOf(some)), 2 + covered(some).length);
  assert.equal(deltaSize(delta(R1, 5, 5)), 0);
});

Deno.test("entries are put in the order of their birth, the given array left alone", () => {
  const unordered = [entry(3, "x"), entry(1, "y"), entry(2, "z")];
  assert.deepEqual(inBirthOrder(unordered).map(({ counter }) => counter), [1, 2, 3]);
  assert.equal(unordered[0]!.counter, 3);
  const ordered = [entry(1, "x"), entry(2, "y")];
  assert.equal(inBirthOrder(ordered), ordered);
});
