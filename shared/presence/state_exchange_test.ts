/**
 * Deltas: gaps in the received ones, and a replica's answer to a receiver that missed some. `state_properties_test.ts`
 * has changes that travel indirectly.
 */
import assert from "node:assert/strict";
import {
  allClocks,
  clockOf,
  createState,
  deltaSince,
  forget,
  heartbeatDelta,
  join,
  leave,
  markDown,
  markUp,
  memberCount,
  merge,
  mergeFull,
  takeDelta,
} from "./state.ts";
import { PENDING_DELTAS_MAX } from "./state_merge.ts";
import {
  delta,
  drafted,
  enter,
  entry,
  member,
  namesOf,
  NOW,
  pendingDeltas,
  TENANT,
  writer,
} from "./testing/replicas.ts";

const nothing = { joins: [], leaves: [] };
const A = writer("a");

Deno.test("E4 changes of an unknown writer are ignored", () => {
  const brain = createState();
  const announced = delta(A, 0, 1, [entry(1, "alice")]);
  for (const result of [merge(brain, announced), mergeFull(brain, announced)]) {
    assert.equal(result.outcome, "unknown");
    assert.deepEqual(namesOf(result), nothing);
  }
  assert.equal(memberCount(brain), 0);
  assert.deepEqual(allClocks(brain), []);
});

Deno.test("F6 after it is taken a delta is empty and begins at the local counter", () => {
  const a = createState(A);
  enter(a, "alice");
  enter(a, "bob");
  assert.deepEqual(takeDelta(a), delta(A, 0, 2, [entry(1, "alice"), entry(2, "bob")]));
  assert.deepEqual(drafted(a), delta(A, 2, 2));
  assert.deepEqual(heartbeatDelta(a), delta(A, 2, 2));
  assert.equal(takeDelta(a), undefined);
  leave(a, TENANT, "lobby", "alice");
  assert.deepEqual(heartbeatDelta(a), delta(A, 2, 2));
  assert.deepEqual(takeDelta(a), delta(A, 2, 3, [], [1]));
});

Deno.test("a limited number of deltas waits for a hole", () => {
  const brain = createState();
  markUp(brain, A);
  for (let clock = 1; clock < 100; clock++) {
    assert.equal(merge(brain, delta(A, clock, clock + 1)).outcome, "gap");
  }
  assert.equal(pendingDeltas(brain, A).length, PENDING_DELTAS_MAX);
  assert.equal(merge(brain, delta(A, 0, 1)).outcome, "merged");
  assert.equal(clockOf(brain, A), PENDING_DELTAS_MAX + 1);

  const other = createState();
  markUp(other, A);
  merge(other, delta(A, 1, 9_000));
  merge(other, delta(A, 9_000, 11_000));
  assert.equal(pendingDeltas(other, A).length, 1);
});

Deno.test("missed changes come from the history, and everything from the current state", () => {
  const a = createState(A);
  enter(a, "alice");
  takeDelta(a);
  enter(a, "bob");
  takeDelta(a);
  leave(a, TENANT, "lobby", "alice");
  const untaken = delta(A, 2, 3, [], [1]);
  assert.deepEqual(deltaSince(a, A, 2), { full: false, delta: untaken });
  const both = delta(A, 0, 2, [entry(1, "alice"), entry(2, "bob")]);
  assert.deepEqual(deltaSince(a, A, 1), { full: false, delta: both });
  for (const clock of [3, 4]) {
    assert.deepEqual(deltaSince(a, A, clock), { full: false, delta: delta(A, 3, 3) });
  }
  assert.equal(deltaSince(a, writer("b"), 0), undefined);

  for (let turn = 0; turn < 6_000; turn++) {
    enter(a, "carol");
    leave(a, TENANT, "lobby", "carol");
    takeDelta(a);
  }
  const late = deltaSince(a, A, 3)!;
  assert.deepEqual(late, { full: true, delta: delta(A, 0, 12_003, [entry(2, "bob")]) });
  assert.equal(deltaSince(a, A, 11_990)!.full, false);
});

Deno.test("a forgotten writer leaves nothing behind", () => {
  const brain = createState();
  markUp(brain, A);
  merge(brain, delta(A, 0, 1, [entry(1, "alice")]));
  merge(brain, delta(A, 2, 3));
  forget(brain, A);
  assert.deepEqual(brain, createState());
});

Deno.test("a replica that cannot write, or is asked to doubt itself, reports it", () => {
  const brain = createState();
  for (const write of [() => enter(brain, "x"), () => takeDelta(brain), () => drafted(brain)]) {
    assert.throws(write, TypeError);
  }
  const a = createState(A);
  for (const mark of [markUp, markDown, forget]) assert.throws(() => mark(a, A), TypeError);
  enter(a, "alice");
  assert.throws(() => enter(a, "alice"), TypeError);
  assert.throws(() => join(a, member("alice", "den", { tenant_id: "globex" }), NOW), TypeError);
  assert.equal(clockOf(a, A), 1);
});
