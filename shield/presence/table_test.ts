/**
 * The member table: own and other Shields' members, notified changes, and views as folds of changes. Which snapshots a
 * table accepts, and its limits. `tests/presence_simulation` tests any order of updates and snapshots.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { PresentMember } from "@arqon/proto";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import {
  addForeign,
  countUsers,
  createTable,
  type MemberTable,
  removeForeign,
  removeOwn,
  replaceForeign,
  reportedMembers,
  setOwn,
  takeChanges,
} from "./table.ts";
import { entryOf, START_MS, writerOf, written } from "./testing/port.ts";
import type { Emitter, RoomUpdate } from "../../shared/presence/messages.ts";
import { createPosition, type Snapshot, takeSnapshot, takeUpdate } from "./table.ts";

const ids = (members: readonly PresentMember[] | undefined) =>
  members?.map(({ connection_id }) => connection_id) ?? [];
const tagOf = ({ writer, entry }: WrittenEntry) => ({ writer, counter: entry.counter });

Deno.test("an update whose leave follows its join does not remove the member", () => {
  const table = createTable();
  addForeign(table, written("b", 1));
  takeChanges(table);
  addForeign(table, written("b", 3, { connection_id: "c1", user_id: "u1", meta: "2" }));
  removeForeign(table, tagOf(written("b", 1)));
  assert.deepEqual(takeChanges(table)?.updates.map(({ meta }) => meta), ["2"]);
  assert.deepEqual(ids([...table.shown.values()]), ["c1"]);
});

Deno.test("users are counted by issuer and subject, connections by id", () => {
  const table = createTable();
  setOwn(table, entryOf(1, { user_id: "ann" }));
  addForeign(table, written("b", 2, { user_id: "ann" }));
  addForeign(table, written("b", 3, { user_id: "ann", issuer: "https://other.example.com" }));
  assert.deepEqual([table.shown.size, table.users.size], [3, 2]);
  removeOwn(table, "c1");
  assert.deepEqual([table.shown.size, table.users.size], [2, 2]);
  removeForeign(table, tagOf(written("b", 3)));
  assert.deepEqual([table.shown.size, table.users.size], [1, 1]);
});

Deno.test("a connection id with two members stays while one of them has it", () => {
  const table = createTable();
  addForeign(table, written("b", 1, { connection_id: "x", user_id: "first" }));
  addForeign(table, written("d", 1, { connection_id: "x", user_id: "second" }));
  assert.deepEqual([...table.shown.values()].map(({ user_id }) => user_id), ["second"]);
  removeForeign(table, tagOf(written("d", 1)));
  assert.deepEqual([...table.shown.values()].map(({ user_id }) => user_id), ["first"]);
  setOwn(table, entryOf(1, { connection_id: "x", user_id: "own" }));
  removeForeign(table, tagOf(written("b", 1)));
  assert.deepEqual([...table.shown.values()].map(({ user_id }) => user_id), ["own"]);
});

Deno.test("while a connection moves, no leave of another one looks through the members", () => {
  const table = createTable();
  const all = Array.from({ length: 100 }, (_, at) => written("b", at + 1));
  for (const one of all) addForeign(table, one);
  for (const node of ["d", "e"]) addForeign(table, written(node, 1, { connection_id: "moving" }));
  table.foreign.values = () => assert.fail("a walk through all members");
  for (const one of all) removeForeign(table, tagOf(one));
  assert.deepEqual([...table.shown.keys()], ["moving"]);
  removeForeign(table, tagOf(written("d", 1)));
  assert.equal(table.hidden.size, 0);
  removeForeign(table, tagOf(written("e", 1)));
  assert.equal(table.shown.size, 0);
});

type Step =
  | { readonly do: "own" | "unown"; readonly id: number; readonly meta: string }
  | { readonly do: "add" | "remove"; readonly node: number; readonly id: number }
  | { readonly do: "replace"; readonly kept: readonly number[] }
  | { readonly do: "tell" };

const id = fc.integer({ min: 1, max: 6 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom("own", "unown"), id, meta: fc.constantFrom("", "1", "2") }),
  fc.record({ do: fc.constantFrom("add", "remove"), node: fc.integer({ min: 1, max: 2 }), id }),
  fc.record({ do: fc.constant("replace"), kept: fc.array(id, { maxLength: 4 }) }),
  fc.record({ do: fc.constant("tell") }),
);

/** Ids 1 to 3 are node 1's, the others node 2's: a connection is on one node only. */
const foreign = (node: number, counter: number): WrittenEntry =>
  written(`n${node}`, counter, {
    connection_id: `f${node}-${counter}`,
    user_id: `u${counter % 3}`,
  });

function apply(table: MemberTable, step: Step): void {
  switch (step.do) {
    case "own":
      return setOwn(table, entryOf(step.id, { connection_id: `o${step.id}`, meta: step.meta }));
    case "unown":
      return removeOwn(table, `o${step.id}`);
    case "add":
      return addForeign(table, foreign(step.node, step.id));
    case "remove":
      return removeForeign(table, tagOf(foreign(step.node, step.id)));
    case "replace":
      return replaceForeign(table, step.kept.map((counter) => foreign(1, counter)));
  }
}

Deno.test("the notified changes, applied in order, equal the view at every moment", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const table = createTable();
    const view = new Map<string, PresentMember>();
    for (const step of steps) {
      apply(table, step);
      assert.deepEqual(
        sorted(reportedMembers(table)),
        sorted([...view.values()]),
        "notified so far",
      );
      if (step.do === "tell") {
        const changes = takeChanges(table);
        for (const { connection_id } of changes?.leaves ?? []) {
          assert(view.delete(connection_id), "only present members leave");
        }
        for (const member of changes?.updates ?? []) {
          assert.notDeepEqual(view.get(member.connection_id), member, "an update has a change");
          view.set(member.connection_id, member);
        }
        assert.deepEqual(sorted([...view.values()]), sorted([...table.shown.values()]));
      }
      assert.equal(table.users.size, countUsers([...table.shown.values()]));
    }
  }));
});

function sorted(members: readonly PresentMember[]): PresentMember[] {
  return [...members].sort((a, b) => a.connection_id < b.connection_id ? -1 : 1);
}

const NODE = "own";
const A: Emitter = { brain_id: "a", boot: 1, term: 1 };
const B: Emitter = { brain_id: "b", boot: 1, term: 1 };

interface Changes {
  readonly joins?: readonly WrittenEntry[];
  readonly leaves?: readonly number[];
  readonly clock?: number;
}

/** An update about writer `w`; its clock is the sequence by default. */
function update(emitter: Emitter, sequence: number, changes: Changes = {}): RoomUpdate {
  const { joins = [], leaves = [], clock = sequence } = changes;
  return {
    kind: "room_update",
    emitter,
    sequence,
    tenant_id: "acme",
    room_id: "lobby",
    joins,
    leaves: leaves.map((counter) => ({ writer: writerOf("w"), counter })),
    clocks: [{ writer: writerOf("w"), clock }],
  };
}

function snapshot(emitter: Emitter, sequence: number, clock: number, counters: number[]): Snapshot {
  const entries = counters.map((counter) => written("w", counter));
  return { emitter, sequence, entries, clocks: [{ writer: writerOf("w"), clock }] };
}

const RULES = { node_id: NODE, now_ms: START_MS, patience_ms: 6_000, isOver: () => false };

/** A table and its position, for a test. */
function fixture() {
  const table = createTable();
  const position = createPosition();
  let now_ms = START_MS;
  return {
    position,
    table,
    update: (...args: Parameters<typeof update>) =>
      takeUpdate(position, table, update(...args), NODE),
    snapshot(...args: Parameters<typeof snapshot>) {
      const rules = { ...RULES, now_ms };
      return takeSnapshot(position, table, snapshot(...args), rules);
    },
    pass: (ms: number) => void (now_ms += ms),
    shown: () => [...table.shown.keys()].sort().join(" "),
  };
}

Deno.test("a Brain that stays behind is trusted eventually", () => {
  const room = fixture();
  room.snapshot(A, 0, 10, [1, 2]);
  assert.equal(room.snapshot(B, 0, 9, [1]), "behind");
  room.pass(5_999);
  assert.equal(room.snapshot(B, 0, 9, [1]), "behind");
  room.pass(1);
  assert.equal(room.snapshot(B, 0, 9, [1]), "applied", "the data that it lacks was lost with A");
  assert.equal(room.shown(), "c1");
  assert.equal(room.snapshot(A, 1, 8, []), "behind", "its patience restarts");
});

Deno.test("a writer that is missing in the snapshot is removed if a Brain reports that", () => {
  const room = fixture();
  room.snapshot(A, 0, 10, [1]);
  const entries = [{ ...written("w", 1), writer: writerOf("w", START_MS + 5) }];
  const clocks = [{ writer: writerOf("w", START_MS + 5), clock: 1 }];
  const next = { emitter: B, sequence: 0, entries, clocks };
  assert.equal(takeSnapshot(room.position, room.table, next, RULES), "behind", "B may not know it");
  const rules = { ...RULES, isOver: (key: string) => key === `w@${START_MS}` };
  assert.equal(takeSnapshot(room.position, room.table, next, rules), "applied");
  assert.equal(room.shown(), "c1");
  assert.deepEqual([...room.position.seen], [[`w@${START_MS + 5}`, 1]], "nothing accumulates");
});

Deno.test("the owner's data about this Shield's own connections is ignored", () => {
  const room = fixture();
  const own = { ...written("w", 1, { connection_id: "mine" }), writer: writerOf(NODE) };
  const clocks = [{ writer: writerOf(NODE), clock: 1 }, { writer: writerOf("w"), clock: 2 }];
  const first = { emitter: A, sequence: 0, entries: [own, written("w", 2)], clocks };
  assert.equal(takeSnapshot(room.position, room.table, first, RULES), "applied");
  assert.equal(room.update(A, 1, { joins: [own], clock: 2 }), "applied");
  assert.equal(room.shown(), "c2");
  const fewer = { ...first, emitter: B, clocks: clocks.slice(1) };
  assert.equal(takeSnapshot(room.position, room.table, fewer, RULES), "applied");
});

Deno.test("waiting updates are limited, and a snapshot replaces dropped ones", () => {
  const room = fixture();
  room.snapshot(A, 0, 0, []);
  for (let sequence = 2; sequence <= 1_000; sequence++) {
    assert.equal(room.update(A, sequence, { joins: [written("w", sequence)] }), "gap");
  }
  assert.equal(room.position.ahead.length, 256);
  assert.equal(room.snapshot(A, 1, 1, [1]), "gap");
  const counters = Array.from({ length: 900 }, (_, index) => index + 1);
  assert.equal(room.snapshot(A, 900, 900, counters), "applied");
  assert.equal(room.table.shown.size, 1_000);
});
