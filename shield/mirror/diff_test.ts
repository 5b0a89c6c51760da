/** The comparison of candidates: counts, examples, limits. */
import assert from "node:assert/strict";
import { DiffBook, EXAMPLES_MAX } from "./diff.ts";

const message = { trace_id: "0".repeat(32), room: "lobby", type: "chat", at_ms: 7 };
const verdict = (refuse: boolean, candidate = "policy:words", tenant_id = "acme") => ({
  tenant_id,
  candidate,
  refuse,
  reason: "because",
});

Deno.test("agreements are counted, differences are counted by direction and shown", () => {
  const outcomes: string[] = [];
  const book = new DiffBook(10, (outcome) => void outcomes.push(outcome));
  book.compare(verdict(false), false, message);
  book.compare(verdict(true), true, message);
  book.compare(verdict(true), false, message);
  book.compare(verdict(false), true, { ...message, room: "vip" });
  book.unmatched(verdict(true));
  const [diff] = book.list("acme");
  const { examples, ...counts } = diff!;
  assert.deepEqual(counts, {
    tenant: "acme",
    candidate: "policy:words",
    mirrored: 4,
    agree: 2,
    would_refuse: 1,
    would_allow: 1,
    unmatched: 1,
  });
  assert.deepEqual(examples, [
    { ...message, would: "refuse", reason: "because" },
    { ...message, room: "vip", would: "allow", reason: "because" },
  ]);
  assert.deepEqual(outcomes, ["agree", "agree", "would-refuse", "would-allow", "unmatched"]);
  assert.deepEqual(book.list("globex"), []);
});

Deno.test("the latest examples stay, and a long reason is cut", () => {
  const book = new DiffBook(10);
  for (let n = 0; n < EXAMPLES_MAX + 3; n++) {
    book.compare({ ...verdict(true), reason: "x".repeat(1_000) }, false, { ...message, at_ms: n });
  }
  const { examples } = book.list("acme")[0]!;
  assert.equal(examples.length, EXAMPLES_MAX);
  assert.equal(examples[0]?.at_ms, 3);
  assert.equal(examples[0]?.reason.length, 256);
});

Deno.test("a candidate beyond a tenant's share is only counted; a reset frees its slot", () => {
  const outcomes: string[] = [];
  const book = new DiffBook(2, (outcome) => void outcomes.push(outcome));
  book.compare(verdict(true, "a"), false, message);
  book.compare(verdict(true, "c"), false, message);
  book.compare(verdict(true, "b", "globex"), false, message);
  book.unmatched(verdict(true, "d"));
  assert.deepEqual([outcomes[1], outcomes[3]], ["overflow", "overflow"]);
  assert.equal(book.size, 2);
  assert.equal(book.reset("acme", "zzz"), 0);
  assert.equal(book.reset("acme", "a"), 1);
  book.compare(verdict(true, "c"), false, message);
  assert.deepEqual(book.list("acme").map(({ candidate }) => candidate), ["c"]);
  assert.equal(book.reset("globex"), 1);
  assert.equal(book.reset("globex"), 0);
  assert.equal(book.size, 1);
});
