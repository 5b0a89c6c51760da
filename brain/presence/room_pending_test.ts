/** A batch has the same effect as its changes one by one. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import { byRoom } from "./room_changes.ts";
import { addPending, createPending, pairs, type Step } from "./emitter.ts";
import { member } from "./testing/shield.ts";

const writer = { node_id: "s1", incarnation: 1 };

function written(counter: number, connection_id = `c${counter}`): WrittenEntry {
  const entry = { ...member(connection_id), counter, joined_ms: 0, changed_ms: 0 };
  return { writer, entry };
}

function apply(members: Set<number>, steps: readonly Step[]): void {
  for (const { leave, join } of steps) {
    if (leave !== undefined) assert.ok(members.delete(leave.entry.counter), "a leave of nobody");
    if (join === undefined) continue;
    assert.ok(!members.has(join.entry.counter), "a second join");
    members.add(join.entry.counter);
  }
}

Deno.test("applying a batch has the same result as all its changes", () => {
  const toggles = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 30 });
  fc.assert(fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 6 })), toggles, (start, flips) => {
    const truth = new Set(start);
    const pending = createPending();
    for (const counter of flips) {
      const change = { tenant_id: "acme", room_id: "lobby", joins: [], leaves: [] };
      const one = [written(counter)];
      // A member may return with the same mark: its Shield was down for a moment.
      if (truth.delete(counter)) addPending(pending, { ...change, leaves: one });
      else {
        truth.add(counter);
        addPending(pending, { ...change, joins: one });
      }
    }
    for (const mark of pending.joins.keys()) assert.ok(!pending.leaves.has(mark), "told twice");
    const notified = new Set(start);
    apply(notified, pairs([...pending.joins.values()], [...pending.leaves.values()]));
    assert.deepEqual([...notified].sort(), [...truth].sort());
  }));
});

Deno.test("every join and leave is in exactly one step, those of one connection in the same", () => {
  const entries = fc.uniqueArray(
    fc.tuple(fc.nat({ max: 50 }), fc.constantFrom("a", "b", "c", "d")).map(([counter, id]) =>
      written(counter, id)
    ),
    { selector: ({ entry }) => entry.counter, maxLength: 20 },
  );
  fc.assert(fc.property(entries, fc.nat({ max: 20 }), (all, at) => {
    const joins = all.slice(0, at);
    const leaves = all.slice(at);
    const steps = pairs(joins, leaves);
    assert.deepEqual(new Set(steps.flatMap(({ join }) => join ?? [])), new Set(joins));
    assert.deepEqual(new Set(steps.flatMap(({ leave }) => leave ?? [])), new Set(leaves));
    assert.equal(steps.flatMap(({ leave }) => leave ?? []).length, leaves.length);
    for (const { join, leave } of steps) {
      if (join === undefined || leave === undefined) continue;
      assert.equal(join.entry.connection_id, leave.entry.connection_id);
    }
    const updated = (id: string) => (one: WrittenEntry) => one.entry.connection_id === id;
    for (const id of ["a", "b", "c", "d"]) {
      const paired = steps.filter(({ join, leave }) => join && leave && updated(id)(join)).length;
      assert.ok(!joins.some(updated(id)) || !leaves.some(updated(id)) || paired > 0);
    }
  }));
});

Deno.test("changes are sorted by room, in their order", () => {
  const elsewhere = { writer, entry: { ...written(3).entry, room_id: "other" } };
  const [other, lobby] = byRoom({ joins: [written(1), written(2)], leaves: [elsewhere] });
  assert.equal(other!.room_id, "other");
  assert.deepEqual(other!.leaves, [elsewhere]);
  assert.deepEqual(lobby!.joins.map(({ entry }) => entry.counter), [1, 2]);
});
