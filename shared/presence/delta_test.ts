/**
 * Deltas alone: their size and order, and the bounded history of a writer's: group G of the presence scenarios. A batch
 * split into deltas has the same effect as the whole, within the size and without a flicker.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  deltaSize,
  deltasSince,
  type History,
  HISTORY_SIZE_MAX,
  inBirthOrder,
  pushDelta,
} from "./delta.ts";
import { entryBytes, splitDelta } from "./pages.ts";
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
  enter,
  entry,
  listed,
  namesOf,
  NOW,
  TENANT,
  writer,
} from "./testing/replicas.ts";

const R1 = writer("r1");

Deno.test("G6 a history reaches back to its first delta, one that is too large ends it", () => {
  const history: History = [];
  assert.equal(deltasSince(history, 0), undefined);
  const first = delta(R1, 3, 4, [entry(4, "x")]);
  const second = delta(R1, 4, 5, [entry(5, "y")], [2]);
  pushDelta(history, first);
  assert.deepEqual(deltasSince(history, 3), first);
  pushDelta(history, second);
  assert.equal(deltasSince(history, 2), undefined);
  assert.deepEqual(deltasSince(history, 3), delta(R1, 3, 5, [entry(4, "x"), entry(5, "y")], [2]));
  pushDelta(history, delta(R1, 5, 5 + HISTORY_SIZE_MAX));
  assert.equal(deltasSince(history, 5), undefined);
  const next = delta(R1, 5 + HISTORY_SIZE_MAX, 6 + HISTORY_SIZE_MAX, [], [5]);
  pushDelta(history, next);
  assert.deepEqual(deltasSince(history, next.start), next);
});

Deno.test("a history keeps within its limit, what it brings really happened, and little more is sent", () => {
  const step = fc.record({ who: fc.nat(6), rooms: fc.integer({ min: 1, max: 600 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), fc.nat(), (steps, pick) => {
      const r1 = createState(R1);
      const history: History = [];
      const past = new Map([[0, new Set<number>()]]);
      for (const { who, rooms } of steps) {
        for (let room = 0; room < rooms; room++) {
          const gone = leave(r1, TENANT, `room${room}`, `c${who}`);
          if (gone === undefined) enter(r1, `c${who}`, `room${room}`);
        }
        const pushed = takeDelta(r1)!;
        pushDelta(history, pushed);
        const now = new Set([...entriesOf(r1, R1)].map(({ counter }) => counter));
        past.set(pushed.end, now);
        const clocks = [...past.keys()];
        const clock = clocks[pick % (clocks.length - 1)]!;
        const brought = deltasSince(history, clock);
        const missed = pushed.end - clock;
        // Entries at most double the covered tags.
        if (brought === undefined) assert.ok(missed > HISTORY_SIZE_MAX / 2 - 1_200);
        if (brought === undefined) continue;
        assert.ok(deltaSize(brought) <= HISTORY_SIZE_MAX);
        const { start, end, entries, removed } = brought;
        assert.ok(start <= clock && end === pushed.end);
        assert.deepEqual(
          entries.map(({ counter }) => counter),
          [...now].filter((tag) => tag > start),
        );
        const before = past.get(start)!;
        assert.deepEqual(removed, [...before].filter((tag) => !now.has(tag)));
      }
    }),
    { numRuns: 30 },
  );
});

Deno.test("the size of a delta is its entries plus its covered tags", () => {
  const some = delta(R1, 3, 7, [entry(4, "x"), entry(7, "y")], [1, 6]);
  assert.equal(deltaSize(some), 2 + covered(some).length);
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
      if (act === "go" && is_there) left.add(leave(a, TENANT, "lobby", name)!.connection_id);
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
