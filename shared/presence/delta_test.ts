/** Deltas alone: their size and order, and the bounded history of a writer's: group G of the presence scenarios. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { deltaSize, deltasSince, type History, inBirthOrder, pushDelta } from "./delta.ts";
import { HISTORY_SIZE_MAX } from "./delta.ts";
import { createState, entriesOf, leave, takeDelta } from "./state.ts";
import { covered, delta, enter, entry, TENANT, writer } from "./testing/replicas.ts";

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
