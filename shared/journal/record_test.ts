/** Lines of the journal: records and gaps are distinguished, and the error for a bad line names the fault. */
import assert from "node:assert/strict";
import { isHole, type JournalLine, parseLine } from "./record.ts";
import { recordOf } from "./testing/records.ts";

const RECORD = recordOf();

function lineOf(value: unknown): JournalLine {
  const parsed = parseLine(JSON.stringify(value));
  assert("line" in parsed, JSON.stringify(parsed));
  return parsed.line;
}

function problemOf(text: string): string {
  const parsed = parseLine(text);
  assert("problem" in parsed);
  return parsed.problem;
}

Deno.test("journal: records and holes are distinguished", () => {
  assert.equal(isHole(lineOf(RECORD)), false);
  const about = { node: "shield-1", tenant: "acme", from_ms: 1, to_ms: 2 };
  const hole = { format: 1, hole: { ...about, records: 3, why: "queue-full" } };
  assert.equal(isHole(lineOf(hole)), true);
});

Deno.test("journal: the error for an invalid line names the member", () => {
  assert.equal(problemOf("{"), "it is no JSON");
  assert.match(problemOf(JSON.stringify({ ...RECORD, code: "x" })), /^code: /);
  assert.match(problemOf(JSON.stringify({ ...RECORD, format: 2 })), /^format: /);
  assert.match(problemOf(JSON.stringify({ ...RECORD, payload: { form: "kept" } })), /^payload/);
});
