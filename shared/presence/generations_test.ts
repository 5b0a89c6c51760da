/** The bounded history of deltas: group G of the presence scenarios, and its limits. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { groupSize, seal } from "./delta.ts";
import { createGenerations, deltasSince, HISTORY_LEVELS, pushDeltas } from "./state_index.ts";
import type { Generations } from "./state_index.ts";
import { createState, entriesOf, leave, type PresenceState, takeDelta } from "./state.ts";
import { covered, delta, drafted, enter, entry, TENANT, writer } from "./testing/replicas.ts";
import { type Delta, type Writer, writerKey } from "./types.ts";

const R1 = writer("r1");
const R2 = writer("r2");
const R3 = writer("r3");

const slotsOf = ({ slots }: Generations): Delta[][] =>
  slots.map((slot) => [...slot.values()].map(seal));

const users = (generations: Generations) =>
  slotsOf(generations).map((slot) =>
    slot.flatMap(({ entries }) => entries.map(({ user_id }) => user_id)).sort().join(" ")
  );

const tags = (generations: Generations) =>
  slotsOf(generations).map((slot) =>
    slot.map((each) => `${each.writer.node_id}:${covered(each).join(",")}`).sort().join(" ")
  );

/** r1's users join one by one, each in its own delta. */
function fourUsers(each: (generations: Generations, pushed: Delta) => void = () => {}) {
  const r1 = createState(R1);
  const generations = createGenerations([2, 5, 6]);
  for (const user of ["user1", "user2", "user3", "user4"]) {
    enter(r1, user);
    const pushed = takeDelta(r1)!;
    pushDeltas(generations, [pushed]);
    each(generations, pushed);
  }
  return generations;
}

/** Then user5 joins on r2. */
function fiveUsers() {
  const generations = fourUsers();
  const r2 = createState(R2);
  enter(r2, "user5");
  pushDeltas(generations, [drafted(r2)]);
  return { generations, r2 };
}

Deno.test("G2 deltas of another writer join the slots", () => {
  const { generations } = fiveUsers();
  assert.deepEqual(users(generations), ["user5", "user4 user5", "user3 user4 user5"]);
});

Deno.test("G3 tombstones stay covered", () => {
  const { generations, r2 } = fiveUsers();
  leave(r2, TENANT, "lobby", "user5");
  pushDeltas(generations, [drafted(r2)]);
  assert.deepEqual(users(generations), ["", "user4", "user3 user4"]);
  assert.deepEqual(tags(generations), ["r2:1,2", "r1:4 r2:1,2", "r1:3,4 r2:1,2"]);
});

Deno.test("G4 a delta that leaves a gap changes no slot", () => {
  const r3 = createState(R3);
  const generations = createGenerations([2, 5, 6]);
  enter(r3, "x");
  pushDeltas(generations, [takeDelta(r3)!]);
  enter(r3, "y");
  takeDelta(r3);
  enter(r3, "z");
  const before = structuredClone(generations);
  const late = takeDelta(r3)!;
  assert.equal(late.start, 2);
  pushDeltas(generations, [late]);
  assert.deepEqual(generations, before);
  pushDeltas(generations, [delta(R3, 9, 99)]);
  assert.deepEqual(generations, before);
});

const at = (...clocks: [Writer, number][]) =>
  new Map(clocks.map(([each, clock]) => [writerKey(each), clock]));

Deno.test("G6 without generations none goes back far enough", () => {
  assert.equal(deltasSince(createGenerations([2]), at([R1, 0])), undefined);
});

Deno.test("G6 the first generation that begins within the known range and ends beyond it is sent", () => {
  const generations = createGenerations([2, 100]);
  const first = delta(R1, 0, 1, [entry(1, "x")]);
  const second = delta(R1, 1, 2, [entry(2, "y")]);
  pushDeltas(generations, [first]);
  pushDeltas(generations, [second]);
  assert.deepEqual(deltasSince(generations, at([R1, 1])), [second]);
  const both = delta(R1, 0, 2, [entry(1, "x"), entry(2, "y")]);
  assert.deepEqual(deltasSince(generations, at([R1, 0])), [both]);
  assert.equal(deltasSince(generations, at([R1, 2])), undefined);
});

Deno.test("G6 a generation with nothing of the writers that are known is skipped", () => {
  const generations = createGenerations([2, 100]);
  const known = delta(R1, 0, 1, [entry(1, "x")]);
  pushDeltas(generations, [known]);
  pushDeltas(generations, [delta(R2, 0, 1, [entry(1, "y")])]);
  assert.deepEqual(users(generations), ["y", "x y"]);
  assert.deepEqual(deltasSince(generations, at([R1, 0])), [known]);
});

Deno.test("G6 only writers that both know count", () => {
  const generations = createGenerations([100]);
  const brought = delta(R1, 0, 1, [entry(1, "x")]);
  pushDeltas(generations, [brought, delta(R2, 7, 8, [entry(8, "y")])]);
  assert.equal(deltasSince(generations, at([R1, 1])), undefined);
  assert.deepEqual(deltasSince(generations, at([R1, 0], [R3, 5])), [brought]);
  assert.equal(deltasSince(generations, at([R1, 0], [R2, 6])), undefined);
});

Deno.test("deltas too large for a slot restart it, and a larger slot keeps what fits", () => {
  const generations = createGenerations([2, 6, 8]);
  const first = delta(R1, 0, 2, [entry(1, "x"), entry(2, "y")]);
  const second = delta(R1, 2, 5, [entry(3, "z"), entry(4, "v"), entry(5, "w")]);
  pushDeltas(generations, [first]);
  assert.deepEqual(slotsOf(generations), [[delta(R1, 2, 2)], [first], [first]]);
  pushDeltas(generations, [second]);
  assert.deepEqual(slotsOf(generations), [[delta(R1, 5, 5)], [second], [second]]);
  pushDeltas(generations, [delta(R1, 5, 50)]);
  const anew = [delta(R1, 50, 50)];
  assert.deepEqual(slotsOf(generations), [anew, anew, anew]);
});

Deno.test("a repeated old delta does not evict newer ones", () => {
  const generations = createGenerations([3, 5]);
  for (let counter = 1; counter <= 3; counter++) {
    pushDeltas(generations, [delta(R1, counter, counter + 1, [entry(counter + 1, `c${counter}`)])]);
  }
  assert.deepEqual(tags(generations), ["r1:4", "r1:3,4"]);
  pushDeltas(generations, [delta(R1, 0, 2, [entry(2, "c1")])]);
  assert.deepEqual(tags(generations), ["r1:4", "r1:4"]);
});

Deno.test("levels must grow", () => {
  for (const levels of [[0], [5, 5], [5, 2], [NaN]]) {
    assert.throws(() => createGenerations(levels), RangeError);
  }
  assert.deepEqual(createGenerations().levels, HISTORY_LEVELS);
});

/** The counters of the only writer's present entries. */
const heldBy = (state: PresenceState) =>
  new Set([...entriesOf(state, R1)].map(({ counter }) => counter));

Deno.test("no slot outgrows its level, and each is what really happened", () => {
  const step = fc.record({
    who: fc.nat(6),
    rooms: fc.integer({ min: 1, max: 20 }),
    cut: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
    const r1 = createState(R1);
    const generations = createGenerations([5, 20, 60]);
    const past = new Map([[0, new Set<number>()]]);
    for (const { who, rooms, cut } of steps) {
      for (let room = 0; room < rooms; room++) {
        const gone = leave(r1, TENANT, `room${room}`, `c${who}`);
        if (gone === undefined) enter(r1, `c${who}`, `room${room}`);
      }
      const pushed = cut ? takeDelta(r1) : undefined;
      if (pushed === undefined) continue;
      pushDeltas(generations, [pushed]);
      past.set(pushed.end, heldBy(r1));
      for (const [index, slot] of generations.slots.entries()) {
        assert.ok(groupSize(slot) <= generations.levels[index]!);
        const { start, end, entries, removed } = seal(slot.get(writerKey(R1))!);
        const before = past.get(start)!;
        const now = past.get(end)!;
        assert.equal(end, pushed.end);
        assert.deepEqual(
          entries.map(({ counter }) => counter),
          [...now].filter((tag) => tag > start),
        );
        assert.deepEqual(removed, [...before].filter((tag) => !now.has(tag)));
      }
    }
  }));
});
