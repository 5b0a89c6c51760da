/** The judge of `chaos:usage` on a small world of its own: what is right passes, what is not is named. */
import assert from "node:assert/strict";
import { judge } from "./judge.ts";
import type { Book, Said, UsageAnswer } from "./judge.ts";

const said = (sent_ms: number, more: Partial<Said> = {}): Said => ({
  ...{ node_id: "s1", tenant_id: "acme", sent_ms, outcome: "taken" },
  ...{ answered_ms: sent_ms + 10, heard_ms: sent_ms + 11, ...more },
});
const REFUSED = { node_id: "s1", tenant_id: "acme", sent_ms: 1, outcome: "refused" } as const;
const LOST = { node_id: "s1", after_ms: 250, most_ms: 400 };

/** Three messages, the last of which was not written when its Shield was killed. */
const BOOK: Book = {
  said: [said(100), said(200), said(300), { ...REFUSED, answered_ms: 2 }],
  kills: [{ node_id: "s1", at_ms: 320, until_ms: 500 }],
};

const answerOf = (
  messages_in: number,
  deliveries: number,
  lost: UsageAnswer["lost"] = [LOST],
): UsageAnswer => ({
  tenant: "acme",
  rows: [{ node: "s1", messages_in, deliveries }],
  lost,
  damaged: 0,
});
const problemsOf = (answer: UsageAnswer, book = BOOK) => judge(book, answer).problems;

Deno.test("what a killed Shield had not written may be missing, and nothing else", () => {
  assert.deepEqual(problemsOf(answerOf(3, 3)), []);
  assert.deepEqual(problemsOf(answerOf(2, 2)), []);
  assert.deepEqual(problemsOf(answerOf(1, 2)), ["acme s1 messages_in: 1, expected 2 to 3"]);
  assert.deepEqual(problemsOf(answerOf(4, 3)), ["acme s1 messages_in: 4, expected 2 to 3"]);
  assert.deepEqual(problemsOf(answerOf(2, 4)), ["acme s1 deliveries: 4, expected 2 to 3"]);
  const { missing, gap_ms, unclear } = judge(BOOK, answerOf(2, 2));
  assert.deepEqual([missing, gap_ms, unclear], [1, 70, 0]);
});

Deno.test("a kill must be told, and nothing is told without one", () => {
  const untold = ["acme: s1 was killed 1 times, 0 told", "acme s1 messages_in: 2, expected 3 to 3"];
  assert.deepEqual(problemsOf(answerOf(2, 3, [])), untold);
  const calm = { said: BOOK.said, kills: [] };
  assert.deepEqual(problemsOf(answerOf(3, 3), calm), ["acme: s1 was killed 0 times, 1 told"]);
  assert.deepEqual(problemsOf(answerOf(3, 3, []), calm), []);
});

Deno.test("what nobody answered may have been counted, and what another Shield counted is not of it", () => {
  const { said: all, kills } = BOOK;
  const unclear: Said = { node_id: "s1", tenant_id: "acme", sent_ms: 600, outcome: "unclear" };
  const book = { said: [...all, unclear], kills };
  assert.deepEqual(problemsOf(answerOf(4, 4), book), []);
  assert.deepEqual(problemsOf(answerOf(3, 3), book), []);
  const other = { ...answerOf(3, 3), rows: [{ node: "s2", messages_in: 3, deliveries: 3 }] };
  assert.equal(problemsOf(other).length, 4);
  // Messages of the next life are not what the one before has lost.
  const later = { said: [...all, said(600)], kills };
  assert.deepEqual(problemsOf(answerOf(2, 3), later), ["acme s1 messages_in: 2, expected 3 to 4"]);
});
