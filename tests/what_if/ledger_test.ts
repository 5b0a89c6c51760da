/** The script's own comparison finds what is planted: a lost record, a wrong one, a second one, a flip. */
import assert from "node:assert/strict";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { compareFlips, JournalCheck } from "./ledger.ts";
import type { Kill, Said } from "./ledger.ts";

function said(id: string, text: string, code: number | undefined, answered_ms = 1_000): Said {
  return { id, text, shield: 0, code, answered_ms };
}

function record(message_id: string, code: number, words: boolean | undefined): JournalRecord {
  const policies = words === undefined ? [] : [{ name: "words", allowed: words, fault: null }];
  return { id: `r-${message_id}`, hook: "on_message", message_id, code, policies } as JournalRecord;
}

function problemsOf(
  all: readonly Said[],
  records: readonly JournalRecord[],
  kills: readonly Kill[] = [],
) {
  const check = new JournalCheck(new Map(all.map((one) => [one.id, one])));
  for (const one of records) check.take(one);
  return check.end(kills, 100);
}

Deno.test("what is right is right, and the planted word is what must flip", () => {
  const all = [said("a", "hello", 0), said("b", "a kumquat", 0), said("c", "malware", 403)];
  const found = problemsOf(all, [
    record("a", 0, true),
    record("b", 0, true),
    record("c", 403, false),
  ]);
  assert.deepEqual(found.problems, []);
  assert.deepEqual([...found.planted], ["b"]);
  assert.equal(found.decisions, 3);
});

Deno.test("a record that is missing, wrong, doubled or of nobody is found", () => {
  const all = [said("a", "hello", 0)];
  assert.match(problemsOf(all, []).problems[0]!, /has no record/);
  assert.match(
    problemsOf(all, [record("a", 403, true)]).problems[0]!,
    /recorded 403, the client was told 0/,
  );
  assert.match(problemsOf(all, [record("a", 0, false)]).problems[0]!, /policy of words/);
  assert.match(problemsOf(all, [record("x", 0, true)]).problems[0]!, /never said/);
  const again = problemsOf(all, [record("a", 503, undefined), {
    ...record("a", 0, true),
    id: "r2",
  }]);
  assert.deepEqual(again.problems.filter((text) => text.includes("told")), []);
  const twice = problemsOf(all, [record("a", 0, true), record("a", 0, true)]);
  assert.match(twice.problems[0]!, /twice/);
});

Deno.test("a record may only be lost with the Shield that was killed right then", () => {
  const all = [said("a", "hello", 0, 1_000)];
  assert.equal(problemsOf(all, [], [{ shield: 0, at_ms: 1_050 }]).lost, 1);
  assert.equal(problemsOf(all, [], [{ shield: 1, at_ms: 1_050 }]).problems.length, 1);
  assert.equal(problemsOf(all, [], [{ shield: 0, at_ms: 2_000 }]).problems.length, 1);
  assert.deepEqual(problemsOf([said("b", "x", undefined)], []).problems, []);
});

Deno.test("flips that are too many or too few are named", () => {
  assert.deepEqual(compareFlips(["a", "b"], new Set(["a", "b"])), []);
  assert.match(compareFlips(["a"], new Set(["a", "b"]))[0]!, /b flips/);
  assert.match(compareFlips(["a", "c"], new Set(["a"]))[0]!, /c does not flip/);
});
