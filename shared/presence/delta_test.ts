/**
 * Deltas alone: F2 of the presence scenarios, and the effect of combining. A batch split into deltas has the same
 * effect as the whole, within the size and without a flicker.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  absorbGroup,
  type DeltaGroup,
  deltaSize,
  draftOf,
  draftSize,
  inBirthOrder,
  seal,
} from "./delta.ts";
import {
  createState,
  entriesOf,
  leave,
  markUp,
  merge,
  online,
  type PresenceState,
  takeDelta,
  update,
} from "./state.ts";
import {
  covered,
  delta,
  drafted,
  enter,
  entry,
  listed,
  namesOf,
  NOW,
  TENANT,
  writer,
} from "./testing/replicas.ts";
import { type Delta, writerKey } from "./types.ts";
import { splitDelta } from "./delta_split.ts";
import { entryBytes } from "./pages.ts";

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

const A = writer("a");

function follower(): PresenceState {
  const state = createState();
  markUp(state, A);
  return state;
}

Deno.test("a small delta is left whole", () => {
  const small = delta(A, 3, 6, [entry(4, "x")], [2]);
  assert.deepEqual(splitDelta(small, 100_000), [small]);
  assert.deepEqual(splitDelta(delta(A, 3, 3), 100_000), [delta(A, 3, 3)]);
});

Deno.test("many joins become several deltas below the limit, none of which is lost", () => {
  const a = createState(A);
  for (let n = 0; n < 10_000; n++) enter(a, `connection-${n}`);
  const parts = splitDelta(takeDelta(a)!, 65_536);
  assert.ok(parts.length > 10 && parts.length < 30, `${parts.length} parts`);
  const brain = follower();
  for (const part of parts) {
    const bytes = part.entries.reduce((sum, each) => sum + entryBytes(each), 0);
    assert.ok(bytes <= 65_536);
    assert.equal(merge(brain, part).joins.length, part.entries.length);
  }
  assert.deepEqual([...entriesOf(brain, A)], [...entriesOf(a, A)]);
});

Deno.test("many leaves, before and after joins, become several deltas", () => {
  const a = createState(A);
  const brain = follower();
  for (let n = 0; n < 2_000; n++) enter(a, `old-${n}`);
  merge(brain, takeDelta(a)!);
  for (let n = 0; n < 1_000; n++) leave(a, TENANT, "lobby", `old-${n}`);
  for (let n = 0; n < 100; n++) enter(a, `new-${n}`);
  for (let n = 1_000; n < 2_000; n++) leave(a, TENANT, "lobby", `old-${n}`);
  const parts = splitDelta(takeDelta(a)!, 2_048);
  assert.ok(parts.length >= 12);
  for (const part of parts) {
    assert.ok(part.end > part.start);
    assert.equal(merge(brain, part).outcome, "merged");
  }
  assert.deepEqual(listed(brain), listed(a));
});

Deno.test("an update is never split, though others join and leave in the same batch", () => {
  const step = fc.record({ act: fc.constantFrom("come", "go", "update"), who: fc.nat(9) });
  const steps = fc.array(step, { maxLength: 40, size: "max" });
  fc.assert(fc.property(steps, steps, fc.integer({ min: 300, max: 900 }), (first, batch, limit) => {
    const a = createState(A);
    const brain = follower();
    const whole = follower();
    const left = new Set<string>();
    let turn = 0;
    const run = ({ act, who }: { act: string; who: number }) => {
      const name = `c${who}`;
      const is_there = listed(a).includes(name);
      if (act === "come" && !is_there) enter(a, name);
      if (act === "go" && is_there) left.add(leave(a, TENANT, "lobby", name)!.entry.connection_id);
      if (act === "update") update(a, TENANT, "lobby", name, `${turn++}`, NOW);
    };
    first.forEach(run);
    const before = takeDelta(a);
    for (const state of before ? [brain, whole] : []) merge(state, before!);
    const stays = listed(a);
    left.clear();
    batch.forEach(run);
    const changes = takeDelta(a);
    if (changes === undefined) return;
    merge(whole, changes);
    let start = changes.start;
    for (const part of splitDelta(changes, limit)) {
      assert.equal(part.start, start);
      start = part.end;
      assert.equal(merge(brain, part).outcome, "merged");
      for (const name of stays) if (!left.has(name)) assert.ok(listed(brain).includes(name));
    }
    assert.equal(start, changes.end);
    assert.deepEqual([...entriesOf(brain, A)], [...entriesOf(whole, A)]);
    assert.deepEqual([...online(brain, TENANT, "lobby")], [...online(whole, TENANT, "lobby")]);
  }));
});

Deno.test("a delta that no writer would make is still cut without loss", () => {
  const brain = follower();
  merge(brain, delta(A, 0, 3, [entry(1, "x"), entry(2, "y"), entry(3, "z")]));
  const packed = delta(A, 3, 5, [entry(4, "v"), entry(5, "w")], [1, 2, 3]);
  const results = splitDelta(packed, 300).map((part) => merge(brain, part));
  assert.ok(results.every(({ outcome }) => outcome === "merged"));
  assert.deepEqual(namesOf(...results), { joins: ["v", "w"], leaves: ["x", "y", "z"] });
});
