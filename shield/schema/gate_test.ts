/**
 * The schema step of the message path, from a client's bytes to the Spine: passed and refused events, and dead letters.
 * On a real engine; `validate_*_test.ts` tests the data's own rules.
 */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope, scanEnvelope, writeAck, writeEnvelope } from "@arqon/proto";
import type { EnvelopeInput } from "@arqon/proto";
import { ALL_COMMANDS, roomSubject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { runCommand } from "../message/command.ts";
import { FilterShares } from "../filter/shares.ts";
import { callerOf, LIMITS, plainPath } from "../message/testing/path.ts";
import { type MessagePath, publish } from "../message/pipeline.ts";
import { createOverseer } from "../policy/overseer.ts";
import { binding, outcomeOf } from "../policy/testing/modules.ts";
import { ann } from "../auth/testing/identity.ts";
import { listenToAll, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { testSchemas, type TestSchemasOptions } from "./testing/registry.ts";
import {
  BAD_PING,
  DEEP_BAD_PING,
  GOOD_PING,
  ping,
  ruledPing,
  UNKNOWN_PING,
  upload,
} from "./testing/schemas.ts";
import { NO_POLICIES } from "../message/gates.ts";
import { field } from "./testing/messages.ts";
import type { SchemaMapping } from "../../shared/config/schema_governance.ts";
import { makeAtOnce } from "../../shared/turns/making.ts";
import { Mappings } from "./gate.ts";

const PROTOBUF = "application/protobuf";
const text = (value: string) => new TextEncoder().encode(value);

/** A message path with a schema check; `ping` is registered unless `bytes` is undefined. */
async function testPath(
  options: TestSchemasOptions = {},
  bytes: Uint8Array | undefined = ping(),
  overseer: MessagePath["overseer"] = NO_POLICIES,
) {
  const engine = testSpine();
  const { spine } = engine;
  const found = await testSchemas(spine, options);
  if (bytes !== undefined && bytes.length > 0) {
    await found.push("ping", bytes);
    await until("the load", () => found.lines.some((line) => line.includes("a schema is loaded")));
  }
  const published = listenToAll(spine);
  spine.subscribe(ALL_COMMANDS, ({ respond }) => respond(writeAck({ code: 0 })));
  const path = plainPath(spine, { overseer, schemas: found.schemas.gate });
  const caller = callerOf(ann);
  /** The refusal, or undefined; waits until the engine has delivered everything. */
  const send = async (
    event: EnvelopeInput["event"],
    more: EnvelopeInput = {},
  ): Promise<ArqonError | undefined> => {
    const given = { type: "ping", content_type: PROTOBUF, ...event };
    const envelope = writeEnvelope({ room_id: "lobby", event: given, ...more });
    try {
      await publish(path, { caller, origin: undefined }, scanEnvelope(envelope, LIMITS));
      return undefined;
    } catch (error) {
      assert.ok(error instanceof ArqonError);
      return error;
    } finally {
      await spine.flush();
    }
  };
  const end = async () => {
    found[Symbol.dispose]();
    await engine[Symbol.asyncDispose]();
  };
  return { ...found, spine, path, caller, published, send, [Symbol.asyncDispose]: end };
}

/** An Overseer whose one policy replaces every payload. */
function replacing(payload: Uint8Array): MessagePath["overseer"] {
  const outcomes = [outcomeOf("mask", { replaced: true })];
  const verdict = { allowed: true, code: 0, reason: "", name: "", added_headers: [], logs: [] };
  return createOverseer({
    chainFor: () => [binding({ name: "mask" })],
    evaluate: () => Promise.resolve({ ...verdict, outcomes, payload }),
    limits: { ...LIMITS, max_frame_bytes: 262_144, payload_bytes: 262_144 },
    now: () => SPINE_NOW_MS,
    onLogs: () => {},
  });
}

Deno.test("a valid event passes unchanged, an invalid one is refused with path and rule", async () => {
  await using t = await testPath();
  assert.equal(await t.send({ data: GOOD_PING }), undefined);
  const [only] = t.published;
  assert.deepEqual(readEnvelope(only?.payload ?? GOOD_PING).event?.data, GOOD_PING);
  const refused = await t.send({ data: BAD_PING });
  assert.equal(refused?.reason, "schema-violation");
  assert.equal(refused.code, 400);
  assert.equal(refused.message, "Schema violation: n: required");
  const deep = await t.send({ data: DEEP_BAD_PING });
  assert.equal(deep?.message, "Schema violation: inner[1].id: required");
  assert.equal(t.published.length, 1);
  assert.equal(await t.metric('shield_schema_cache_total{outcome="hit"}'), 3);
  assert.equal(await t.metric('shield_schema_violation_total{schema="ping",rule="required"}'), 2);
  assert.equal(await t.metric('shield_schema_violation_tenant_total{tenant="acme"}'), 2);
});

Deno.test("the cost of a check is charged to the tenant of the event", async () => {
  await using t = await testPath({}, ruledPing());
  const shares = new FilterShares(() => SPINE_NOW_MS);
  Object.assign(t.path, { shares });
  // The budget of two seconds, except for one step.
  shares.spend(ann.tenant_id, 1_999_999);
  assert.equal(await t.send({ data: GOOD_PING }), undefined);
  assert.equal((await t.send({ data: GOOD_PING }))?.reason, "rate-limited");
});

Deno.test("several violations are counted in the text", async () => {
  await using t = await testPath();
  const data = new Uint8Array([0x1a, 0, 0x1a, 0]);
  const refused = await t.send({ data });
  assert.match(refused?.message ?? "", /^Schema violation: .*: required \(1 of 3\)$/);
});

Deno.test("only events of mapped subjects are checked", async () => {
  await using t = await testPath({ mappings: [{ subject: "in.t.acme.r.lobby" }] });
  assert.equal(await t.send({ data: BAD_PING }, { room_id: "other" }), undefined);
  assert.equal((await t.send({ data: BAD_PING }))?.reason, "schema-violation");
  const envelope = writeEnvelope({ room_id: "lobby", command: { name: "get", data: BAD_PING } });
  const context = { path: t.path, limits: { command_timeout_ms: 10_000 }, own: () => undefined };
  const ack = await runCommand(context, t.caller, scanEnvelope(envelope, LIMITS));
  assert.equal(ack.code, 0, "a command is not an event");
});

Deno.test("content types select the form; any other type is refused by name", async () => {
  await using t = await testPath();
  const other = ["application/x-protobuf", "application/octet-stream"];
  for (const content_type of ["", PROTOBUF, ...other, "Application/Protobuf; proto=t.Ping"]) {
    assert.equal(await t.send({ data: GOOD_PING, content_type }), undefined, content_type);
  }
  const json = text('{"n":7,"text":"hi"}');
  for (const content_type of ["application/json", "application/json; charset=utf-8"]) {
    assert.equal(await t.send({ data: json, content_type }), undefined);
  }
  const cases: [data: Uint8Array, content_type: string, message: RegExp][] = [
    [json, PROTOBUF, /content-type: the data is JSON, but its content type application\/protobuf/],
    [text(' [{"n":7}]\n'), "", /content-type: the data is JSON, but its content type none/],
    [GOOD_PING, "application/json", /^Schema violation: (json|utf8|content-type): /],
    [json, "text/plain", /content-type: "text\/plain" cannot be checked; expected/],
    [json, "application/cbor", /content-type: "application\/cbor"/],
    [text('{"n":"x"}'), "application/json", /^Schema violation: n: /],
    [text('{"n":'), "application/json", /json/],
    [text(""), "application/json", /json/],
  ];
  for (const [data, content_type, message] of cases) {
    const refused = await t.send({ data, content_type });
    assert.equal(refused?.reason, "schema-violation", content_type);
    assert.match(refused.message, message);
  }
});

Deno.test("an event that names a schema must name its subject's schema", async () => {
  await using t = await testPath();
  assert.equal(await t.send({ data: GOOD_PING, schema_id: "ping" }), undefined);
  const refused = await t.send({ data: GOOD_PING, schema_id: "pong" });
  assert.match(refused?.message ?? "", /schema-id: the event names "pong", .* ping$/);
  assert.equal(await t.metric('shield_schema_violation_total{schema="ping",rule="schema-id"}'), 1);
});

Deno.test("protovalidate rules are part of the schema", async () => {
  await using t = await testPath({}, ruledPing());
  assert.equal(await t.send({ data: GOOD_PING }), undefined);
  const refused = await t.send({ data: new Uint8Array([0x12, 6, 97, 98, 99, 100, 101, 102]) });
  assert.match(refused?.message ?? "", /^Schema violation: text: string\.max_len: /);
});

Deno.test("unknown fields pass, are reported, or are refused, as the mapping configures", async () => {
  for (const unknown_fields of ["allow", "warn", "refuse"] as const) {
    const reason = unknown_fields === "refuse" ? "schema-violation" : undefined;
    await using t = await testPath({ mappings: [{ unknown_fields }] });
    assert.equal((await t.send({ data: UNKNOWN_PING }))?.reason, reason);
    const warned = await t.metric('shield_schema_unknown_fields_total{schema="ping"}');
    assert.equal(warned, unknown_fields === "warn" ? 1 : undefined);
    if (reason === undefined) {
      assert.deepEqual(readEnvelope(t.published[0]!.payload).event?.data, UNKNOWN_PING);
    }
  }
});

Deno.test("observe counts, logs and reports its verdict, and lets everything pass", async () => {
  await using t = await testPath({ mappings: [{ mode: "observe" }] });
  assert.equal(await t.send({ data: GOOD_PING }), undefined);
  assert.equal(await t.send({ data: BAD_PING }), undefined);
  assert.equal(t.published.length, 2);
  assert.deepEqual(t.verdicts, [
    { tenant_id: "acme", candidate: "schema:ping", refuse: false, reason: "" },
    { tenant_id: "acme", candidate: "schema:ping", refuse: true, reason: "n: required" },
  ]);
  assert.equal(await t.metric('shield_schema_violation_total{schema="ping",rule="required"}'), 1);
  assert.ok(t.lines.some((line) => line.includes("mode=observe")));
});

Deno.test("dead-letter refuses, and keeps the routed event with the reason", async () => {
  await using t = await testPath({ mappings: [{ mode: "dead-letter" }] });
  const headers = { "x-arqon-dlq-reason": "forged", "X-Own": "kept" };
  const refused = await t.send({ data: DEEP_BAD_PING }, { headers, message_id: "m1" });
  assert.equal(refused?.reason, "schema-violation");
  const [kept, ...more] = t.published;
  assert.equal(more.length, 0, "and nothing goes to the room");
  assert.equal(kept?.subject, "dlq.in.t.acme.r.lobby");
  assert.deepEqual(kept.headers, { "x-arqon-reason": "schema-violation" });
  const envelope = readEnvelope(kept.payload);
  assert.deepEqual(envelope.event?.data, DEEP_BAD_PING);
  const { sender_id, tenant_id, message_id } = envelope;
  assert.deepEqual([sender_id, tenant_id, message_id], ["ann", "acme", "m1"]);
  assert.equal(envelope.headers["x-arqon-dlq-reason"], "Schema violation: inner[1].id: required");
  assert.equal(envelope.headers["x-arqon-dlq-path"], "inner[1].id");
  assert.equal(envelope.headers["X-Own"], "kept");
  const count = () => t.metric('shield_schema_dead_letters_total{outcome="sent"}');
  await until("the count", async () => await count() === 1);
  assert.equal(await t.send({ data: GOOD_PING }), undefined);
  assert.equal(t.published[1]?.subject, "in.t.acme.r.lobby");
});

Deno.test("a dead letter that does not fit is dropped, and the answer is the same", async () => {
  const more = { dead_letter_bytes: 65_536 };
  await using t = await testPath({ mappings: [{ mode: "dead-letter" }], more });
  const data = new Uint8Array(70_000).fill(0xff);
  assert.equal((await t.send({ data }))?.reason, "schema-violation");
  assert.equal(t.published.length, 0);
  assert.equal(await t.metric('shield_schema_dead_letters_total{outcome="full"}'), 1);
});

Deno.test("events of a subject whose schema never loaded are refused, unless the mapping only observes", async () => {
  const watched = { subject: "in.t.acme.r.watched", schema_id: "other", mode: "observe" } as const;
  await using t = await testPath({ mappings: [{}, watched] }, new Uint8Array());
  const refused = await t.send({ data: GOOD_PING });
  assert.equal(refused?.reason, "schema-unavailable");
  assert.equal(refused.code, 503);
  assert.ok(refused.retry_after_ms > 0);
  assert.match(refused.message, /ping: it is not registered$/);
  assert.equal(await t.send({ data: GOOD_PING }, { room_id: "watched" }), undefined);
  assert.equal(await t.metric('shield_schema_cache_total{outcome="miss"}'), 2);
  assert.equal(await t.metric('shield_schema_cache_messages{state="missing"}'), 2);
  await t.push("ping", ping());
  await until("the schema", async () => await t.send({ data: GOOD_PING }) === undefined);
});

Deno.test("the schema is checked before any policy is asked", async () => {
  let requests = 0;
  const overseer = { ...NO_POLICIES, onMessage: () => void requests++ as undefined };
  await using t = await testPath({}, ping(), overseer);
  assert.equal((await t.send({ data: BAD_PING }))?.reason, "schema-violation");
  assert.equal(requests, 0);
  assert.equal(await t.send({ data: GOOD_PING }), undefined);
  assert.equal(requests, 1);
});

Deno.test("an event is checked again after a policy replaces its payload", async () => {
  for (const replacement of [GOOD_PING, BAD_PING]) {
    const reason = replacement === BAD_PING ? "schema-violation" : undefined;
    await using t = await testPath({}, ping(), replacing(replacement));
    assert.equal((await t.send({ data: GOOD_PING }))?.reason, reason);
    const passed = t.published.map(({ payload }) => readEnvelope(payload).event?.data);
    assert.deepEqual(passed, reason === undefined ? [replacement] : []);
  }
});

// The log line of a violation is literally the one in docs/governance.md.

const GOVERNANCE = new URL("../../docs/governance.md", import.meta.url);

/** `t.Vehicle` with a required `id`, and `count` more fields. */
const vehicle = (count: number) =>
  upload({
    syntax: "proto2",
    messageType: [{
      name: "Vehicle",
      field: [
        field("id", 1, "string", { label: "LABEL_REQUIRED" }),
        ...Array.from({ length: count }, (_, at) => field(`f${at}`, at + 2, "string")),
      ],
    }],
  });

Deno.test("a violation's line in the log is the documented one, field by field in its order", async () => {
  const text = await Deno.readTextFile(GOVERNANCE);
  const documented = text.split("\n").filter((line) =>
    line.includes("an event violates its schema")
  );
  assert.equal(documented.length, 1);
  const at = / ts=(\S+)$/.exec(documented[0] ?? "")?.[1] ?? "";
  await using engine = testSpine();
  const mapping = { subject: "in.t.acme.r.vehicles-*", schema_id: "fleet", message: "t.Vehicle" };
  using t = await testSchemas(engine.spine, { mappings: [mapping], now: () => Date.parse(at) });
  for (let count = 0; count < 3; count++) await t.push("fleet", vehicle(count));
  await until("version 3", () => t.lines.some((line) => line.includes("schema=fleet version=3")));
  const event = { type: "moved", data: new TextEncoder().encode('{"f0":"x"}') };
  const envelope = writeEnvelope({
    room_id: "vehicles-7",
    event: { ...event, content_type: "application/json" },
  });
  const subject = roomSubject("in", "acme", "vehicles-7");
  const refusal = t.schemas.gate.check(subject, "acme", scanEnvelope(envelope, LIMITS));
  assert.equal(refusal?.error.message, "Schema violation: id: required");
  assert.equal(t.lines.at(-1), `${documented[0]}\n`);
});

// Which mapping applies to a subject, among those of the configuration and of the tenants.

const mapping = (subject: string, schema_id: string): SchemaMapping => (
  { subject, schema_id, message: "t.Ping", mode: "enforce", unknown_fields: "allow" }
);

function found(mappings: Mappings, subject: string, tenant_id = "acme"): string | undefined {
  const bound = mappings.find(subject, tenant_id);
  return bound === undefined || "problem" in bound ? bound?.problem : bound.mapping.schema_id;
}

Deno.test("the most specific pattern wins, from either source", () => {
  const exact = mapping("in.t.acme.r.lobby", "lobby");
  const all = [mapping("in.t.*.r.*", "any"), mapping("in.t.acme.r.chat-*", "chat"), exact];
  const mappings = new Mappings(all, { tenant_mappings: 10 });
  assert.equal(found(mappings, "in.t.acme.r.lobby"), "lobby");
  assert.equal(found(mappings, "in.t.acme.r.chat-1"), "chat");
  assert.equal(found(mappings, "in.t.acme.r.other"), "any");
  mappings.set("acme", [
    mapping("in.t.acme.r.chat-1*", "own"),
    mapping("in.t.acme.*", "broad"),
    mapping("in.t.acme.r.lobby", "mine"),
  ]);
  assert.equal(found(mappings, "in.t.acme.r.chat-12"), "own");
  assert.equal(found(mappings, "in.t.acme.r.chat-2"), "chat", "the configuration's is narrower");
  assert.equal(found(mappings, "in.t.acme.r.other"), "broad");
  assert.equal(found(mappings, "in.t.acme.r.lobby"), "mine", "the tenant's wins over an equal one");
  assert.equal(found(mappings, "in.t.globex.r.lobby", "globex"), "any", "others are unchanged");
  const config = [mapping("in.t.*.r.*", "all"), mapping("in.t.acme.r.chat-2*", "new")];
  assert.ok([...mappings.compiling(config)].length >= config.length, "step by step");
  mappings.replace(makeAtOnce(mappings.compiling(config)));
  const rooms = ["chat-12", "chat-2", "chat-3", "lobby"];
  const now = rooms.map((room) => found(mappings, `in.t.acme.r.${room}`));
  assert.deepEqual(now, ["own", "new", "broad", "mine"]);
  mappings.set("acme", []);
  assert.equal(found(mappings, "in.t.acme.r.lobby"), "all");
});

Deno.test("without mappings nothing is looked up; one tenant's mappings affect no other tenant", () => {
  const mappings = new Mappings([], { tenant_mappings: 10 });
  assert.equal(mappings.isEmpty, true);
  mappings.set("acme", [mapping("in.t.acme.r.a", "a")]);
  assert.equal(mappings.isEmpty, false);
  assert.equal(found(mappings, "in.t.acme.r.a"), "a");
  assert.equal(found(mappings, "in.t.acme.r.b"), undefined);
  assert.equal(found(mappings, "in.t.globex.r.a", "globex"), undefined);
  mappings.set("acme", []);
  assert.equal(mappings.isEmpty, true);
});

Deno.test("unusable mappings leave the former ones in force, and without former ones everything is refused", () => {
  const mappings = new Mappings([], { tenant_mappings: 3 });
  mappings.set("acme", [mapping("in.t.acme.r.a", "a")]);
  assert.match(mappings.set("acme", [mapping("in.t.ac*me.r", "b")]) ?? "", /not a subject pattern/);
  assert.equal(found(mappings, "in.t.acme.r.a"), "a");
  assert.match(mappings.set("globex", [mapping("in..r", "b")]) ?? "", /empty token/);
  assert.match(found(mappings, "in.t.globex.r.x", "globex") ?? "", /empty token/);
  assert.equal(mappings.tenant_mappings, 1);
  assert.equal(mappings.set("globex", [mapping("in.t.globex.r.b", "b")]), undefined);
  assert.equal(mappings.tenant_mappings, 2);
  assert.equal(found(mappings, "in.t.globex.r.b", "globex"), "b");
  mappings.refuse("initech", "unreadable");
  assert.equal(found(mappings, "in.t.initech.r.b", "initech"), "unreadable");
  mappings.set("initech", []);
  assert.equal(found(mappings, "in.t.initech.r.b", "initech"), undefined);
});

Deno.test("a tenant with many mappings leaves room for another's, and stored ones hold in any order", () => {
  const mappings = new Mappings([], { tenant_mappings: 9 });
  const many = (tenant: string, count: number) =>
    Array.from({ length: count }, (_, n) => mapping(`in.t.${tenant}.r.${n}`, `s${n}`));
  const refused = { reason: "settings-conflict" };
  mappings.requireRoom("acme", many("acme", 8));
  assert.throws(() => mappings.requireRoom("acme", many("acme", 9)), refused);
  mappings.set("acme", many("acme", 8));
  mappings.requireRoom("globex", many("globex", 1));
  assert.throws(() => mappings.requireRoom("globex", many("globex", 2)), refused);
  // Two Shields have accepted changes at once.
  assert.equal(mappings.set("globex", many("globex", 8)), undefined);
  assert.equal(found(mappings, "in.t.globex.r.7", "globex"), "s7");
  mappings.requireRoom("globex", many("globex", 7));
});
