/** Questions and answers as bytes: encoded ones are decoded again, all other bytes are refused. */
import assert from "node:assert/strict";
import fc from "fast-check";
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
