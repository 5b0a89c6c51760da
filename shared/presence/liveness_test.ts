/** Liveness: group H of the presence scenarios, tombstones and a stalled owner of the table. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createLiveness, depart, extend, heartbeat, isForgotten, sweep } from "./liveness.ts";
import type { Liveness, LivenessOptions, Transition } from "./liveness.ts";
import { writer } from "./testing/replicas.ts";
import { writerKey } from "./types.ts";

const OPTIONS: LivenessOptions = {
  heartbeat_ms: 2,
  down_ms: 5,
  forget_ms: 10,
  tombstone_ms: 100,
  tombstones_max: 3,
};
const A = writer("a", 7);

const shown = (transitions: readonly Transition[]) =>
  transitions.map(({ writer: each, to }) => `${writerKey(each)} ${to}`);

/** A table that received a message of a@7 at 0. */
function onceUp(): Liveness {
  const table = createLiveness(OPTIONS);
  heartbeat(table, A, 0);
  return table;
}

Deno.test("H1 a writer is its node and incarnation", () => {
  assert.notEqual(writerKey(writer("a", 1)), writerKey(writer("a", 2)));
  assert.equal(writerKey(writer("a", 1)), "a@1");
});

Deno.test("H2 a node that was not known is up", () => {
  const table = createLiveness(OPTIONS);
  assert.deepEqual(heartbeat(table, A, 3), [{ writer: A, to: "up" }]);
  assert.deepEqual(table.lives.get("a"), { writer: A, state: "up", last_seen_ms: 3 });
});

Deno.test("H3 a node that was known is up, and was seen now", () => {
  const table = onceUp();
  assert.deepEqual(heartbeat(table, A, 4), []);
  assert.equal(table.lives.get("a")?.last_seen_ms, 4);
  assert.deepEqual(shown(sweep(table, 10)), ["a@7 down"]);
  assert.equal(table.lives.get("a")?.state, "down");
  assert.deepEqual(shown(heartbeat(table, A, 11)!), ["a@7 up"]);
  assert.deepEqual(table.lives.get("a"), { writer: A, state: "up", last_seen_ms: 11 });
});

Deno.test("H5 after a long silence a writer is forgotten", () => {
  const table = onceUp();
  assert.deepEqual(shown(sweep(table, 11)), ["a@7 down", "a@7 forgotten"]);
  assert.equal(table.lives.size, 0);
  const slow = onceUp();
  sweep(slow, 6);
  assert.deepEqual(shown(sweep(slow, 11)), ["a@7 forgotten"]);
});

Deno.test("H6 without silence nothing changes", () => {
  const table = onceUp();
  assert.deepEqual(sweep(table, 0), []);
  assert.deepEqual(sweep(table, 4), []);
  assert.equal(table.lives.get("a")?.state, "up");
});

Deno.test("H7 a configuration that cannot work is refused", () => {
  for (
    const wrong of [
      { down_ms: 3 },
      { forget_ms: 5 },
      { heartbeat_ms: 0 },
      { tombstone_ms: 0 },
      { tombstones_max: -1 },
      { down_ms: NaN },
    ]
  ) {
    assert.throws(() => createLiveness({ ...OPTIONS, ...wrong }), RangeError);
  }
  createLiveness({ ...OPTIONS, down_ms: 4, forget_ms: 5 });
});

Deno.test("H8 a younger life retires the older at once", () => {
  const table = onceUp();
  assert.deepEqual(shown(heartbeat(table, writer("a", 8), 1)!), [
    "a@7 down",
    "a@7 forgotten",
    "a@8 up",
  ]);
  const slow = onceUp();
  sweep(slow, 6);
  assert.deepEqual(shown(heartbeat(slow, writer("a", 8), 7)!), ["a@7 forgotten", "a@8 up"]);
  assert.equal(slow.lives.size, 1);
});

// In the original, another incarnation of any age replaces the known one. Here lives are ordered, so that a process
// that resumes, or a late message, cannot retire its own successor.
Deno.test("H8 an older life is refused, with nothing changed", () => {
  const table = onceUp();
  const before = structuredClone(table);
  assert.equal(heartbeat(table, writer("a", 6), 1), undefined);
  assert.deepEqual(depart(table, writer("a", 6), 1), []);
  assert.deepEqual(structuredClone(table), before);
});

Deno.test("a forgotten life stays forgotten until its tombstone goes, a younger one does not", () => {
  const table = onceUp();
  sweep(table, 11);
  for (const incarnation of [6, 7]) {
    assert.ok(isForgotten(table, writer("a", incarnation), 110));
    assert.equal(heartbeat(table, writer("a", incarnation), 110), undefined);
  }
  assert.ok(!isForgotten(table, A, 111));
  assert.ok(!isForgotten(table, writer("a", 8), 12));
  assert.ok(!isForgotten(table, writer("b", 1), 12));
  assert.deepEqual(shown(heartbeat(table, writer("a", 8), 12)!), ["a@8 up"]);
  assert.equal(table.tombstones.size, 0);
  assert.equal(heartbeat(table, A, 13), undefined);
  const later = onceUp();
  sweep(later, 11);
  sweep(later, 111);
  assert.equal(later.tombstones.size, 0);
  assert.ok(heartbeat(later, A, 112));
});

Deno.test("the number of forgotten nodes is limited to the latest", () => {
  const table = createLiveness(OPTIONS);
  for (const [now_ms, name] of ["a", "b", "c", "d", "b", "e"].entries()) {
    depart(table, writer(name), now_ms);
  }
  assert.deepEqual([...table.tombstones.keys()], ["d", "b", "e"]);
});

Deno.test("a node that says goodbye is forgotten at once, with its older incarnations", () => {
  const table = onceUp();
  assert.deepEqual(shown(depart(table, A, 1)), ["a@7 down", "a@7 forgotten"]);
  assert.equal(heartbeat(table, A, 1), undefined);
  const other = onceUp();
  assert.deepEqual(shown(depart(other, writer("a", 9), 1)), ["a@7 down", "a@7 forgotten"]);
  assert.deepEqual(other.tombstones.get("a")?.writer, writer("a", 9));
  assert.deepEqual(depart(other, writer("a", 8), 2), []);
  assert.deepEqual(other.tombstones.get("a")?.writer, writer("a", 9));
});

Deno.test("the keeper's own silence counts for nobody", () => {
  const table = onceUp();
  extend(table, 20);
  assert.deepEqual(sweep(table, 24), []);
  assert.deepEqual(shown(sweep(table, 25)), ["a@7 down"]);
  assert.throws(() => extend(table, -1), RangeError);
  assert.throws(() => extend(table, NaN), RangeError);
});

Deno.test("a clock that was set back keeps nobody alive for longer", () => {
  const table = createLiveness(OPTIONS);
  heartbeat(table, A, 1_000);
  assert.deepEqual(sweep(table, 50), []);
  assert.deepEqual(shown(sweep(table, 55)), ["a@7 down"]);
});

Deno.test("whatever is received, transitions of each incarnation are up and down, then forgotten", () => {
  const step = fc.record({
    act: fc.constantFrom("heartbeat", "sweep", "depart", "extend"),
    name: fc.constantFrom("a", "b"),
    incarnation: fc.nat(3),
    wait_ms: fc.nat(12),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
    const table = createLiveness({ ...OPTIONS, tombstone_ms: 1e9, tombstones_max: 100 });
    const states = new Map<string, Transition["to"]>();
    const youngest = new Map<string, number>();
    let now_ms = 0;
    for (const { act, name, incarnation, wait_ms } of steps) {
      now_ms += wait_ms;
      const life = writer(name, incarnation);
      let transitions: readonly Transition[] = [];
      if (act === "heartbeat") transitions = heartbeat(table, life, now_ms) ?? [];
      else if (act === "sweep") transitions = sweep(table, now_ms);
      else if (act === "depart") transitions = depart(table, life, now_ms);
      else extend(table, wait_ms);
      for (const { writer: each, to } of transitions) {
        const before = states.get(writerKey(each));
        assert.notEqual(before, "forgotten");
        assert.notEqual(before, to);
        if (to === "down") assert.equal(before, "up");
        if (to === "forgotten") assert.equal(before, "down");
        if (to === "up") {
          assert.ok((youngest.get(each.node_id) ?? -1) <= each.incarnation);
          youngest.set(each.node_id, each.incarnation);
        }
        states.set(writerKey(each), to);
      }
      const alive = [...states].filter(([, to]) => to !== "forgotten").sort();
      const kept = [...table.lives.values()].map((known) =>
        [writerKey(known.writer), known.state] as const
      );
      assert.deepEqual(kept.sort(), alive);
    }
  }));
});
