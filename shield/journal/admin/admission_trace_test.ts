/** How messages were admitted: the decisions of a journal about them, and their steps. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { RECORD_FORMAT } from "../../../shared/journal/record.ts";
import type { JournalEntry, JournalRecord, Terms } from "../../../shared/journal/record.ts";
import { NEVER_MS } from "../../auth/identity.ts";
import { SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import { decidedBy } from "../../../shared/journal/testing/records.ts";
import { decision, journalPlace, writeBlock } from "../testing/journal.ts";
import { parsePlace, readingOf, readJournal } from "./read.ts";
import { type SoughtMessage, stepsOf, WayIn, wayIn } from "./admission_trace.ts";

const RATE = { messages_per_second: 20, bytes_per_second: 9_000 };
const TERMS: Terms = {
  credential: { issuer: "https://id", kid: "k1", role: "user", has_grants: true },
  expires_ms: 1_767_326_000_000,
  grant: "lob*",
  limits: { connection: RATE, user: RATE, tenant: RATE, quota: RATE },
  room_class: { pattern: "lob*", source: "tenant", durable: true },
  mirror: { prefix: "in.t.acme.r.lob*", percent: 0.1, source: "config", is_copied: true },
};
const TWIST = "019b7c5d-7c88-7000-8000-000000000001";

function recordOf(change: Partial<JournalEntry> = {}): JournalRecord {
  return {
    format: RECORD_FORMAT,
    id: "s1.1",
    node: "s1",
    tenant: "acme",
    meter_version: 4,
    ...decision({ terms: TERMS, ...change }),
    payload: change.payload ?? { form: "kept", data: "" },
  } as JournalRecord;
}

const encoded = (record: JournalRecord) =>
  stepsOf(record, undefined).map(({ step, outcome }) => `${step} ${outcome}`);
const refused = (reason: ConstructorParameters<typeof ArqonError>[0], more: object = {}) =>
  encoded(recordOf({ allowed: false, code: 403, reason, message: "no", ...more }));

Deno.test("way in: an admitted message has each step, with the rules in force", () => {
  const record = recordOf({
    offset: 17,
    schema: { id: "chat.v1", version: 3, violation: null },
    policies: [
      decidedBy("words"),
      decidedBy("try", { mode: "observe", allowed: false, code: 403 }),
    ],
  });
  const steps = stepsOf(record, { trace_id: "ab", twist_id: TWIST });
  const texts = steps.map(({ step, outcome, text }) => `${step} ${outcome} ${text}`);
  const hash = "ab".repeat(6);
  assert.deepEqual(texts, [
    "token passed issuer https://id, kid k1, role user, until 2026-01-02T03:53:20.000Z",
    "rate passed 20 messages/s and 9000 bytes/s of the connection, " +
    "20 messages/s and 9000 bytes/s of the user, 20 messages/s and 9000 bytes/s of the tenant",
    "grant passed lob*",
    "quota passed 20 messages/s and 9000 bytes/s of the tenant on all Shields together",
    "schema passed chat.v1 version 3: fits",
    `policy passed words allows, 1000 units of 10000, module ${hash}, policies of version 3`,
    "policy passed try (observing) refuses 403, 1000 units of 10000, " +
    `module ${hash}, policies of version 3`,
    "room_class passed class lob*, set by the tenant: durable",
    `stamp passed trace ab, X-Twist-ID ${TWIST}`,
    "offset passed 17",
    "mirror passed copied by rule in.t.acme.r.lob* of the configuration, share 10 %",
  ]);
});

Deno.test("way in: a command has no schema, ids, offset or copy", () => {
  const steps = encoded(recordOf({ is_command: true, type: "room.call" }));
  const checked = ["token", "rate", "grant", "quota"].map((step) => `${step} passed`);
  assert.deepEqual(steps, [...checked, "policy none", "room_class passed"]);
});

Deno.test("way in: a caller without a token has no expiry", () => {
  // Earlier releases wrote an expiry that is not a date.
  for (const expires_ms of [NEVER_MS, Number.MAX_SAFE_INTEGER]) {
    const [step] = stepsOf(recordOf({ terms: { ...TERMS, expires_ms } }), undefined);
    assert.equal(step?.text, "issuer https://id, kid k1, role user");
  }
});

Deno.test("way in: a refusal ends with the refusing step, and names no later one", () => {
  assert.deepEqual(refused("rate-limited"), ["token passed", "rate refused"]);
  const grantless = { terms: { ...TERMS, grant: null } };
  const before = ["token passed", "rate passed"];
  assert.deepEqual(refused("not-granted", grantless), [...before, "grant refused"]);
  const granted = [...before, "grant passed"];
  assert.deepEqual(refused("room-banned"), [...granted, "ban refused"]);
  assert.deepEqual(refused("tenant-quota"), [...granted, "quota refused"]);
  const paid = [...granted, "quota passed"];
  assert.deepEqual(refused("signature-required"), [...paid, "other refused"]);
  const violation = { path: "$.a", rule: "required", message: "" };
  const schema = { id: "chat.v1", version: 3, violation };
  assert.deepEqual(refused("schema-violation", { schema }), [...paid, "schema refused"]);
  const policies = [decidedBy("a"), decidedBy("b", { allowed: false, code: 403 })];
  const asked = [...paid, "schema none", "policy passed", "policy refused"];
  assert.deepEqual(refused("policy-rejected", { policies }), asked);
  assert.deepEqual(refused("policy-loading"), [...paid, "schema none", "policy refused"]);
  // A reducer's room refuses behind the policies an event that a grant allows.
  const reduced = ["schema none", "policy none", "room_class refused"];
  assert.deepEqual(refused("not-granted"), [...paid, ...reduced]);
  assert.deepEqual(
    refused("not-granted", { type: "" }),
    [...paid, ...reduced],
    "no type is needed",
  );
  assert.deepEqual(refused("not-granted", { is_command: true }), [...before, "grant refused"]);
  assert.deepEqual(refused("not-granted", { payload: { form: "none" } }), [
    ...before,
    "grant refused",
  ]);
});

Deno.test("way in: a refusal behind the policies shows what they decided", () => {
  const policies = [decidedBy("a"), decidedBy("b", { mode: "observe", allowed: false, code: 403 })];
  const asked = ["policy passed", "policy passed"];
  const before = ["token passed", "rate passed", "grant passed", "quota passed"];
  const behind = (reason: Parameters<typeof refused>[0], more: object = {}) =>
    refused(reason, { policies, ...more });
  assert.deepEqual(behind("banned"), [...before, "schema none", ...asked, "ban refused"]);
  assert.deepEqual(behind("message-too-large"), [
    ...before,
    "schema none",
    ...asked,
    "other refused",
  ]);
  const stored = [...asked, "room_class passed", "offset refused"];
  assert.deepEqual(behind("log-unavailable"), [...before, "schema none", ...stored]);
  const violation = { path: "$.a", rule: "required", message: "" };
  const schema = { id: "chat.v1", version: 3, violation };
  const replaced = ["schema passed", ...asked, "schema refused"];
  assert.deepEqual(behind("schema-violation", { schema }), [...before, ...replaced]);
  const gone = { terms: { ...TERMS, grant: null } };
  assert.equal(behind("not-granted", gone).at(-1), "room_class refused", "of an erased user");
});

/** A journal of a tenant, and a query to it. */
function journal() {
  const engine = testSpine();
  const place = journalPlace(engine.spine, () => SPINE_NOW_MS);
  const reading = readingOf(place);
  return {
    place,
    reading,
    ids: async (request: object, found: readonly SoughtMessage[] = [], tenant = "acme") => {
      const answer = WayIn.parse(await wayIn(reading, { tenant, ...request, found }));
      assert.deepEqual([answer.is_whole, answer.problem], [true, ""]);
      return answer.decisions.map(({ id, message_place }) => `${id} ${message_place}`);
    },
    async [Symbol.asyncDispose]() {
      await place.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

const at = (seconds: number) => ({ time_ms: SPINE_NOW_MS + 1_000 * seconds });
const receivedAt = (seconds: number, change: Partial<SoughtMessage> = {}): SoughtMessage => ({
  room_id: "lobby",
  offset: 0,
  trace_id: "",
  twist_id: TWIST,
  message_id: "",
  heard: [at(seconds)],
  ...change,
});

Deno.test("way in: decisions are found by each id, in the requested tenant", async () => {
  await using test = journal();
  const trace = "0af7651916cd43dd8448eb211c80319c";
  await writeBlock(test.place, [
    decision({ ...at(0), message_id: "m0", trace }),
    decision({ ...at(1), message_id: "m1", offset: 7 }),
    decision({ ...at(2), message_id: null, twist: TWIST }),
    decision({ ...at(3), message_id: "m1", room: "den" }),
  ]);
  assert.deepEqual(await test.ids({ message_id: "m0" }), ["s1.0 null"]);
  assert.deepEqual(await test.ids({ message_id: "m0" }, [], "other"), []);
  assert.deepEqual(await test.ids({ trace: trace.toUpperCase() }), ["s1.0 null"]);
  assert.deepEqual(await test.ids({ room: "lobby", offset: 7 }), ["s1.1 null"]);
  assert.deepEqual(await test.ids({ twist: TWIST }), ["s1.2 null"]);
  assert.deepEqual(await test.ids({ message_id: "m1" }), ["s1.1 null", "s1.3 null"]);
  assert.deepEqual(await test.ids({ message_id: "m1", room: "den" }), ["s1.3 null"]);
  // The journal does not have a trace made by the Shield, but the ledger has other ids.
  const made = "11111111111111111111111111111111";
  const known = receivedAt(1, { offset: 7, trace_id: made, twist_id: "", message_id: "m1" });
  assert.deepEqual(await test.ids({ trace: made }, [known]), ["s1.1 0"]);
  assert.deepEqual(await test.ids({ twist: TWIST }, [receivedAt(2)]), ["s1.2 0"]);
});

Deno.test("way in: messages with the same id have the decisions nearest in time", async () => {
  await using test = journal();
  const same = (seconds: number) => decision({ ...at(seconds), message_id: "m1" });
  await writeBlock(test.place, [same(0), same(5), same(300)]);
  const found = [receivedAt(0, { message_id: "m1" }), receivedAt(6, { message_id: "m1" })];
  // Decisions made minutes later are not about messages delivered by then.
  assert.deepEqual(await test.ids({ message_id: "m1" }, found), ["s1.0 0", "s1.1 1"]);
});

Deno.test("way in: an answer reads a limited number of lines, and has the position to continue", async () => {
  await using test = journal();
  const many = Array.from({ length: 200 }, (_, n) => decision({ ...at(n), message_id: `m${n}` }));
  await writeBlock(test.place, many);
  const isMeant = (line: object) => "message_id" in line && line.message_id === "m199";
  const found: unknown[] = [];
  let answers = 0;
  for (let after = parsePlace("0");;) {
    answers++;
    const query = { tenant: "acme", limit: 50, after };
    const lines = readJournal(test.reading, query, { lines: 64, isMeant });
    let step = await lines.next();
    for (; step.done !== true; step = await lines.next()) found.push(...step.value);
    if (step.value.is_end) break;
    after = step.value.next;
  }
  assert.ok(answers > 3, `${answers} answers`);
  assert.equal(found.length, 1);
});

Deno.test("way in: an unreachable journal is reported, not thrown", async () => {
  const down = () => Promise.reject(new ArqonError("log-unavailable", "away"));
  const request = { tenant: "acme", message_id: "m1", found: [] };
  const { decisions, is_whole, problem } = await wayIn(
    { store: down, keys: down, ends: down },
    request,
  );
  assert.deepEqual([decisions, is_whole], [[], false]);
  assert.match(problem, /away/);
});
