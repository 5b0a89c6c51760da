/** Lines of the journal: records and gaps are distinguished, and the error for a bad line names the fault. */
import assert from "node:assert/strict";
import { isHole, type JournalLine, parseLine } from "./record.ts";

const RECORD = {
  format: 1,
  id: "shield-1.7",
  time_ms: 1_700_000_000_000,
  node: "shield-1",
  tenant: "acme",
  hook: "on_message",
  room: "chat-1",
  trace: null,
  message_id: "m1",
  offset: null,
  sender: { user: "ann", connection: "c1", remote_ip: "127.0.0.1" },
  type: "chat",
  content_type: "application/json",
  payload: { form: "kept", data: "eyJ9" },
  allowed: true,
  code: 0,
  reason: "",
  message: "",
  schema: null,
  chain_version: null,
  meter_version: 4,
  policies: [],
};

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
