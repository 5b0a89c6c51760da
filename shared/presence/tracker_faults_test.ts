/**
 * What went wrong in Phoenix.Tracker (issues and pull requests of phoenixframework/phoenix_pubsub),
 * each as a test that it cannot happen here. Written from their descriptions, with our replicas.
 */
import assert from "node:assert/strict";
import {
  allClocks,
  createState,
  deltaSince,
  forget,
  leave,
  markDown,
  markUp,
  merge,
  mergeFull,
  takeDelta,
  update,
} from "./state.ts";
import type { PresenceState } from "./state.ts";
import {
  connected,
  delta,
  enter,
  entry,
  listed,
  mergeState,
  namesOf,
  NOW,
  rows,
  TENANT,
  writer,
} from "./testing/replicas.ts";

const OLD = writer("node4", 1);
const NEW = writer("node4", 2);

/** A replica that has merged zombie's join of the old life, then forgot that life. */
function survivor(): { state: PresenceState; late: ReturnType<typeof delta> } {
  const old = createState(OLD);
  const state = createState();
  markUp(state, OLD);
  enter(old, "zombie");
  merge(state, takeDelta(old)!);
  enter(old, "late");
  const late = takeDelta(old)!;
  forget(state, OLD);
  markUp(state, NEW);
  return { state, late };
}

Deno.test("issue 55: nothing of a restarted node's old life resurfaces", () => {
  const { state, late } = survivor();
  assert.deepEqual([listed(state), rows(state, "zombie")], [[], []]);
  assert.equal(merge(state, late).outcome, "unknown");
  const restarted = createState(NEW);
  enter(restarted, "fresh");
  assert.equal(merge(state, takeDelta(restarted)!).outcome, "merged");
  assert.deepEqual(listed(state), ["fresh"]);
  assert.deepEqual(allClocks(state), [{ writer: NEW, clock: 1 }]);
});

Deno.test("issue 60: a forgotten writer is in no delta that others catch up with", () => {
  const { state } = survivor();
  assert.equal(deltaSince(state, OLD, 0), undefined);
  markUp(state, OLD);
  assert.deepEqual(deltaSince(state, OLD, 0), { full: false, delta: delta(OLD, 0, 0) });
});

Deno.test("issue 80: what the receiver has forgotten is not sent to it by those who have not", () => {
  const { state: forgetful } = survivor();
  const slow = createState();
  for (const life of [OLD, NEW]) markUp(slow, life);
  merge(slow, delta(OLD, 0, 1, [entry(1, "zombie")]));
  assert.deepEqual(namesOf(...mergeState(forgetful, slow)), { joins: [], leaves: [] });
  assert.deepEqual(listed(forgetful), []);
});

Deno.test("issue 74: two that meet for the first time learn everything, however much it is", () => {
  for (const count of [49, 51, 1_001, 10_001]) {
    const [one, two] = ["1", "2"].map((name) => createState(writer(name))) as [
      PresenceState,
      PresenceState,
    ];
    for (const state of [one, two]) {
      for (let n = 0; n < count; n++) {
        enter(state, `${state.self!.node_id}-${n}`);
        if (n % 7 === 0) takeDelta(state);
      }
      takeDelta(state);
    }
    for (const [to, from] of [[one, two], [two, one]] as const) {
      markUp(to, from.self!);
      const { full, delta: missed } = deltaSince(from, from.self!, 0)!;
      assert.equal((full ? mergeFull : merge)(to, missed).joins.length, count);
      assert.equal(listed(to).length, 2 * count);
    }
  }
});

Deno.test("pull request 111: leaves during a split are learnt, though joins came another way", () => {
  const [one, two, three] = connected("1", "2", "3") as [
    PresenceState,
    PresenceState,
    PresenceState,
  ];
  enter(three, "session");
  mergeState(two, three);
  mergeState(one, two);
  markDown(one, writer("3"));
  leave(three, TENANT, "lobby", "session");
  takeDelta(three);
  markUp(one, writer("3"));
  assert.deepEqual(namesOf(...mergeState(one, three)), { joins: [], leaves: ["session"] });
  assert.deepEqual(listed(one), []);
});

Deno.test("issue 148: a stale full state after a newer delta neither overwrites nor doubles", () => {
  const a = createState(writer("a"));
  const b = createState(writer("b"));
  const c = createState();
  for (const state of [b, c]) markUp(state, writer("a"));
  enter(a, "alice");
  merge(b, takeDelta(a)!);
  update(a, TENANT, "lobby", "alice", "1", NOW);
  takeDelta(a);
  update(a, TENANT, "lobby", "alice", "2", NOW);
  assert.equal(merge(c, takeDelta(a)!).outcome, "gap");
  mergeState(c, b);
  assert.deepEqual(rows(c, "alice"), ["a@1:1 lobby"]);
  const { delta: missed } = deltaSince(a, writer("a"), 1)!;
  assert.deepEqual(namesOf(merge(c, missed)), { joins: ["alice"], leaves: ["alice"] });
  assert.deepEqual(rows(c, "alice"), ["a@1:5 lobby"]);
  mergeState(c, b);
  assert.deepEqual(rows(c, "alice"), ["a@1:5 lobby"]);
});
