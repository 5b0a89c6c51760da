/** What updates and snapshots of a room do to its table, by where the table stands. */
import assert from "node:assert/strict";
import type { Emitter, RoomUpdate } from "../../shared/presence/messages.ts";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import { createPosition, takeSnapshot, takeUpdate } from "./position.ts";
import type { Snapshot } from "./position.ts";
import { createTable } from "./table.ts";
import { START_MS, writerOf, written } from "./testing/port.ts";

const NODE = "own";
const A: Emitter = { brain_id: "a", boot: 1, term: 1 };
const B: Emitter = { brain_id: "b", boot: 1, term: 1 };

interface Said {
  readonly joins?: readonly WrittenEntry[];
  readonly leaves?: readonly number[];
  readonly clock?: number;
}

/** An update about writer `w`; its clock is the sequence unless given. */
function update(emitter: Emitter, sequence: number, said: Said = {}): RoomUpdate {
  const { joins = [], leaves = [], clock = sequence } = said;
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

/** A table and its position, in the hand of a test. */
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

Deno.test("updates apply in sequence, once", () => {
  const room = fixture();
  assert.equal(room.snapshot(A, 4, 4, [1]), "applied");
  assert.equal(room.update(A, 5, { joins: [written("w", 5)] }), "applied");
  assert.equal(room.update(A, 5, { joins: [written("w", 6)] }), "known", "a repeated one");
  assert.equal(room.update(A, 3, { leaves: [1] }), "known", "an old one");
  assert.equal(room.update(A, 6, { leaves: [1] }), "applied");
  assert.equal(room.shown(), "c5");
});

Deno.test("an update after a hole waits and applies when the hole is filled late", () => {
  const room = fixture();
  room.snapshot(A, 1, 1, []);
  assert.equal(room.update(A, 3, { leaves: [2] }), "gap");
  assert.equal(room.shown(), "");
  assert.equal(room.update(A, 2, { joins: [written("w", 2)] }), "applied");
  assert.equal(room.shown(), "", "joined by the second, left by the third");
  assert.equal(room.position.sequence, 3);
});

Deno.test("a snapshot fills a hole, and what came after it is not lost", () => {
  const room = fixture();
  room.snapshot(A, 1, 1, [1]);
  room.update(A, 3, { joins: [written("w", 3)] });
  room.update(A, 5, { joins: [written("w", 5)] });
  assert.equal(room.update(A, 4, { leaves: [3] }), "gap");
  // The snapshot was made after the third and before the fourth update.
  assert.equal(room.snapshot(A, 3, 3, [1, 2, 3]), "applied");
  assert.equal(room.shown(), "c1 c2 c5");
  assert.equal(room.position.sequence, 5);
});

Deno.test("a snapshot that leaves a hole asks for another", () => {
  const room = fixture();
  room.snapshot(A, 1, 1, []);
  room.update(A, 5, { joins: [written("w", 5)] });
  assert.equal(room.snapshot(A, 3, 3, [2]), "gap");
  assert.equal(room.shown(), "c2");
  assert.equal(room.snapshot(A, 4, 4, [2]), "applied");
  assert.equal(room.shown(), "c2 c5");
});

Deno.test("another emitter is not believed without its snapshot", () => {
  const room = fixture();
  room.snapshot(A, 7, 7, [1, 2]);
  assert.equal(room.update(B, 1, { leaves: [2] }), "gap");
  assert.equal(room.shown(), "c1 c2");
  assert.equal(room.snapshot(B, 0, 7, [1, 2]), "applied");
  assert.equal(room.shown(), "c1", "its first update was kept");
  assert.equal(room.position.sequence, 1);
});

Deno.test("an earlier term of the same Brain is over", () => {
  const room = fixture();
  const later = { ...A, term: 2 };
  room.snapshot(later, 0, 5, [1]);
  assert.equal(room.update(A, 1, { leaves: [1] }), "known");
  assert.equal(room.snapshot(A, 9, 9, []), "outdated");
  assert.equal(room.shown(), "c1");
  assert.equal(room.snapshot({ ...A, boot: 2 }, 0, 5, [1, 2]), "applied");
  assert.equal(
    room.update(later, 1, { leaves: [1] }),
    "gap",
    "of two lives nobody knows the later",
  );
  assert.equal(room.shown(), "c1 c2");
});

Deno.test("a snapshot of the same emitter that was overtaken by updates changes nothing", () => {
  const room = fixture();
  room.snapshot(A, 1, 1, [1]);
  room.update(A, 2, { leaves: [1] });
  assert.equal(room.snapshot(A, 1, 1, [1]), "outdated");
  assert.equal(room.shown(), "", "who left does not come back");
});

Deno.test("a Brain that has seen less of a writer than the table is not believed", () => {
  const room = fixture();
  room.snapshot(A, 0, 10, [1]);
  room.update(A, 1, { leaves: [1], clock: 11 });
  assert.equal(room.snapshot(B, 0, 10, [1]), "behind");
  assert.equal(room.shown(), "", "who left does not come back");
  assert.equal(room.position.emitter, A);
  assert.equal(room.snapshot(B, 0, 11, []), "applied");
});

Deno.test("a Brain that stays behind is believed in the end", () => {
  const room = fixture();
  room.snapshot(A, 0, 10, [1, 2]);
  assert.equal(room.snapshot(B, 0, 9, [1]), "behind");
  room.pass(5_999);
  assert.equal(room.snapshot(B, 0, 9, [1]), "behind");
  room.pass(1);
  assert.equal(room.snapshot(B, 0, 9, [1]), "applied", "what it lacks has died with A");
  assert.equal(room.shown(), "c1");
  assert.equal(room.snapshot(A, 1, 8, []), "behind", "its patience begins anew");
});

Deno.test("a writer that is not in the snapshot is removed when somebody says so", () => {
  const room = fixture();
  room.snapshot(A, 0, 10, [1]);
  const entries = [{ ...written("w", 1), writer: writerOf("w", START_MS + 5) }];
  const clocks = [{ writer: writerOf("w", START_MS + 5), clock: 1 }];
  const next = { emitter: B, sequence: 0, entries, clocks };
  assert.equal(takeSnapshot(room.position, room.table, next, RULES), "behind", "B may not know it");
  const rules = { ...RULES, isOver: (key: string) => key === `w@${START_MS}` };
  assert.equal(takeSnapshot(room.position, room.table, next, rules), "applied");
  assert.equal(room.shown(), "c1");
  assert.deepEqual([...room.position.seen], [[`w@${START_MS + 5}`, 1]], "nothing piles up");
});

Deno.test("what the owner says of this Shield's own connections is passed over", () => {
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

Deno.test("updates that wait are bounded, and a snapshot makes up for those that were dropped", () => {
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
