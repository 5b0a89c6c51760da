/**
 * Which snapshots a table accepts, and its limits. `tests/presence_simulation` tests any order of updates and
 * snapshots.
 */
import assert from "node:assert/strict";
import type { Emitter, RoomUpdate } from "../../shared/presence/messages.ts";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import { createPosition, createTable, type Snapshot, takeSnapshot, takeUpdate } from "./table.ts";
import { START_MS, writerOf, written } from "./testing/port.ts";

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
