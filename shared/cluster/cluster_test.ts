/**
 * Live Brains and owners of rooms: rules of the table, and properties of rendezvous hashing. Questions and answers as
 * bytes: encoded ones are decoded again, all other bytes are refused.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isId } from "@arqon/proto";
import { brainIdOf, BRAINS_MAX, BrainTable, roomHash } from "./cluster.ts";
import type { Beat, BrainState } from "../presence/messages.ts";
import { id } from "../presence/testing/message_arbitraries.ts";
import {
  ANSWER_BYTES,
  answerBytes,
  decodeAnswer,
  decodeQuestion,
  decodeValue,
  encodeAnswer,
  encodeProblem,
  encodeQuestion,
  PART_BYTES,
  QUESTION_BYTES,
} from "./cluster_question.ts";

const TIMEOUT_MS = 5_000;

function beat(brain_id: string, state: BrainState = "serving", boot = 1): Beat {
  return { kind: "beat", brain_id, boot, state, writers: [] };
}

function table(...brain_ids: string[]): BrainTable {
  const brains = new BrainTable({ brain_timeout_ms: TIMEOUT_MS });
  for (const brain_id of brain_ids) brains.onBeat(beat(brain_id), 0);
  return brains;
}

const rooms = Array.from({ length: 10_000 }, (_, index) => `room-${index}`);

Deno.test("only Brains that serve are alive, in the order of their ids", () => {
  const brains = table("c", "a");
  assert.equal(brains.onBeat(beat("b", "starting"), 0), false);
  assert.deepEqual(brains.live(), ["a", "c"]);
  assert.equal(brains.onBeat(beat("b"), 0), true);
  assert.equal(brains.onBeat(beat("b"), 1), false);
  assert.deepEqual(brains.live(), ["a", "b", "c"]);
  assert.equal(brains.onBeat(beat("b", "draining"), 2), true);
  assert.deepEqual(brains.live(), ["a", "c"]);
});

Deno.test("a Brain silent for longer than the timeout is not alive", () => {
  const brains = table("a", "b");
  brains.onBeat(beat("a"), 1);
  assert.equal(brains.sweep(TIMEOUT_MS), false);
  assert.equal(brains.sweep(TIMEOUT_MS + 1), true);
  assert.deepEqual(brains.live(), ["a"]);
  assert.equal(brains.beatOf("b"), undefined);
  assert.equal(brains.onBeat(beat("b"), TIMEOUT_MS + 2), true);
});

Deno.test("a suspected Brain is dead until its next beat", () => {
  const brains = table("a", "b");
  assert.equal(brains.suspect("a"), true);
  assert.equal(brains.suspect("a"), false);
  assert.equal(brains.suspect("nobody"), false);
  assert.deepEqual(brains.live(), ["b"]);
  assert.equal(brains.onBeat(beat("a"), 1), true);
});

Deno.test("late heartbeats: an earlier incarnation is ignored, and draining is never undone", () => {
  const brains = table();
  brains.onBeat(beat("a", "serving", 2), 0);
  assert.equal(brains.onBeat(beat("a", "draining", 1), 1), false);
  brains.onBeat(beat("a", "draining", 2), 2);
  brains.onBeat(beat("a", "serving", 2), 3);
  assert.deepEqual(brains.live(), []);
  brains.onBeat(beat("a", "serving", 3), 4);
  assert.deepEqual(brains.live(), ["a"]);
});

Deno.test("a Brain that was absent itself considers no other silent", () => {
  const brains = table("a");
  brains.forgive(60_000, 60_000);
  assert.equal(brains.sweep(60_000 + TIMEOUT_MS), false);
  assert.equal(brains.sweep(60_001 + TIMEOUT_MS), true);
});

Deno.test("the table is bounded", () => {
  const brains = table();
  for (let index = 0; index <= BRAINS_MAX; index++) brains.onBeat(beat(`b${index}`), 0);
  assert.equal(brains.live().length, BRAINS_MAX);
});

Deno.test("the owner of a room does not depend on the order in which Brains were discovered", () => {
  fc.assert(fc.property(fc.uniqueArray(id, { minLength: 1, maxLength: 8 }), id, id, (ids, t, r) => {
    const owner = table(...ids).ownerOf(t, r);
    assert.ok(owner !== undefined && ids.includes(owner));
    assert.equal(table(...ids.toReversed()).ownerOf(t, r), owner);
  }));
});

Deno.test("a room has no owner if no Brain is alive", () => {
  assert.equal(table().ownerOf("t", "r"), undefined);
});

Deno.test("a Brain that ends moves only its own rooms, one that joins gets only its share", () => {
  fc.assert(
    fc.property(fc.uniqueArray(id, { minLength: 2, maxLength: 6 }), (ids) => {
      const [gone, ...others] = ids as [string, ...string[]];
      const before = table(...ids);
      const after = table(...others);
      for (const room of rooms.slice(0, 200)) {
        const owner = before.ownerOf("t", room);
        if (owner !== gone) assert.equal(after.ownerOf("t", room), owner);
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("Brains get equal shares, also with ids and rooms that are counted up", () => {
  for (const count of [2, 3, 8]) {
    const ids = Array.from({ length: count }, (_, index) => `brain-${index}`);
    const brains = table(...ids);
    const shares = new Map<string, number>();
    for (const room of rooms) {
      const owner = brains.ownerOf("default", room) ?? "";
      shares.set(owner, (shares.get(owner) ?? 0) + 1);
    }
    for (const share of ids.map((brain_id) => shares.get(brain_id) ?? 0)) {
      const fair = rooms.length / count;
      assert.ok(Math.abs(share - fair) < fair * 0.1, `${count} Brains: ${share} of ${fair}`);
    }
  }
});

Deno.test("the hash of a room is the same in every release", () => {
  assert.equal(roomHash("acme", "lobby"), 1_541_723_381);
  assert.notEqual(roomHash("a", "bc"), roomHash("ab", "c"));
});

Deno.test("a Brain's id is an id, is not the node's, and differs for nodes that differ", () => {
  fc.assert(fc.property(id, id, (one, other) => {
    assert.ok(isId(brainIdOf(one)));
    assert.notEqual(brainIdOf(one), one);
    if (one !== other) assert.notEqual(brainIdOf(one), brainIdOf(other));
  }));
  const long = "n".repeat(63);
  assert.notEqual(brainIdOf(`${long}1`), brainIdOf(`${long}2`));
  assert.equal(brainIdOf("node-1"), "brain:node-1");
});

const HEAD = { id: "q1", node: "shield-1", kind: "shield" } as const;
const QUESTION = { question: "rooms", id: "q1", asker: "a", kind: "shield", params: {} } as const;

/** As the receiver decodes it. */
function carried(value: unknown, part_bytes_max?: number): unknown {
  const bytes = answerBytes(value);
  assert.ok(bytes !== undefined);
  const parts = encodeAnswer(HEAD, bytes, part_bytes_max).map((part) => decodeAnswer(part));
  return decodeValue(parts.map((part) => part!.bytes));
}

Deno.test("an answer is decoded unchanged, whatever its number of parts", () => {
  fc.assert(
    fc.property(fc.json(), fc.integer({ min: 1_025, max: 2_000 }), (json, part_bytes) => {
      const value = JSON.parse(json);
      assert.deepEqual(carried(value, part_bytes), value);
    }),
  );
});

Deno.test("no part is longer than a message may be", () => {
  const parts = encodeAnswer(HEAD, new Uint8Array(1_000_000));
  assert.equal(parts.length, 4);
  assert.ok(parts.every(({ length }) => length <= PART_BYTES));
  const small = encodeAnswer(HEAD, new Uint8Array(100_000), 65_536);
  assert.ok(small.every(({ length }) => length <= 65_536));
});

Deno.test("an answer that is too long loses its last rows and reports it", () => {
  const rows = Array.from({ length: 1_000 }, (_, index) => `${index}`.padEnd(10_000, "x"));
  const bytes = answerBytes({ rows, total: 1_000 });
  assert.ok(bytes !== undefined && bytes.length <= ANSWER_BYTES);
  const value = decodeValue([bytes]) as { rows: string[]; total: number; truncated: boolean };
  assert.deepEqual([value.total, value.truncated], [1_000, true]);
  assert.deepEqual(value.rows, rows.slice(0, value.rows.length));
  assert.ok(value.rows.length >= 125);
  assert.equal(answerBytes("x".repeat(ANSWER_BYTES)), undefined);
  assert.equal(answerBytes({ rows: ["x".repeat(ANSWER_BYTES)] })!.length < 100, true);
});

Deno.test("a refusal has its reason in one part", () => {
  const part = decodeAnswer(encodeProblem(HEAD, "busy"));
  assert.deepEqual({ ...part, bytes: undefined }, {
    ...HEAD,
    part: 0,
    parts: 1,
    problem: "busy",
    bytes: undefined,
  });
});

Deno.test("a query is decoded unchanged", () => {
  const question = { ...QUESTION, to: "n", of: "brain", params: { sort: "age" } } as const;
  assert.deepEqual(decodeQuestion(encodeQuestion(question)), question);
  const long = { ...QUESTION, params: { text: "x".repeat(QUESTION_BYTES) } };
  assert.throws(() => encodeQuestion(long), RangeError);
});

Deno.test("an invalid query or answer is refused", () => {
  const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const wrong = [
    { ...QUESTION, id: "a.b" },
    { ...QUESTION, asker: "" },
    { ...QUESTION, question: "Rooms!" },
    { ...QUESTION, kind: "sword" },
    { ...QUESTION, params: [] },
    { ...QUESTION, more: 1 },
    null,
    "rooms",
  ];
  for (const value of wrong) {
    assert.equal(decodeQuestion(bytes(value)), undefined, JSON.stringify(value));
  }
  const heads = [
    { ...HEAD, part: 1, parts: 1 },
    { ...HEAD, part: -1, parts: 1 },
    { ...HEAD, part: 0, parts: 1e9 },
    { ...HEAD, part: 0, parts: 1, node: "a b" },
    { ...HEAD, part: 0, parts: 1, more: 1 },
  ];
  for (const head of heads) {
    const message = new TextEncoder().encode(`${JSON.stringify(head)}\n{}`);
    assert.equal(decodeAnswer(message), undefined, JSON.stringify(head));
  }
});

Deno.test("no bytes make it throw", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    decodeQuestion(bytes);
    decodeAnswer(bytes);
    decodeValue([bytes, bytes]);
  }));
});
