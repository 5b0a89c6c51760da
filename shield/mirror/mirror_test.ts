/**
 * The mirror step on the real message path: copies, comparisons with candidates, and a primary that the mirror never
 * affects.
 */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { markDeleted } from "../../shared/records/tenant_deletions.ts";
import { TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import { until } from "../../shared/testing/until.ts";
import { settingsOn } from "../settings/testing/settings.ts";
import { ann } from "../auth/testing/identity.ts";
import type { Identity } from "../auth/identity.ts";
import { type MessagePath, publish } from "../message/pipeline.ts";
import { callerOf, plainPath } from "../message/testing/path.ts";
import { createOverseer } from "../policy/overseer.ts";
import { outcomeOf } from "../policy/testing/modules.ts";
import type { PolicyMode, Verdict } from "../../shared/records/verdict.ts";
import { SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { NO_CANDIDATES, NO_POLICIES } from "../message/gates.ts";
import { observersOf } from "../message/observers.ts";
import { startMirror } from "./mirror.ts";
import { type TestMirror, testMirror } from "./testing/mirror.ts";

const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };
const TRACE_ID = "0123456789abcdef0123456789abcdef";
const ALL = { rules: [{ prefix: "in.t.acme.*", percent: 1 }] };

function pathOf(test: TestMirror, overseer: MessagePath["overseer"] = NO_POLICIES): MessagePath {
  const observers = observersOf([test.started.mirror]);
  return plainPath(test.engine.spine, { overseer, observers });
}

type Sent = Parameters<typeof writeEnvelope>[0] & {
  readonly connection_id?: string;
  readonly role?: Identity["role"];
  readonly origin?: string;
};

/** The refusal's reason; undefined if it was accepted. */
async function send(path: MessagePath, sent: Sent = {}): Promise<string | undefined> {
  const { connection_id = "c1", role = "user", origin, ...envelope } = sent;
  const caller = { ...callerOf({ ...ann, role }), connection_id };
  const event = sent.command === undefined ? { type: "chat" } : undefined;
  const plain = { room_id: "lobby", ...(event === undefined ? {} : { event }), ...envelope };
  try {
    await publish(path, { caller, origin }, scanEnvelope(writeEnvelope(plain), LIMITS));
    return undefined;
  } catch (error) {
    if (error instanceof ArqonError) return error.reason;
    throw error;
  }
}

/** An Overseer with the verdicts `production` and, as a candidate, `candidate`. */
function overseerSaying(test: TestMirror, production: boolean, candidate: boolean) {
  const outcome = (name: string, mode: PolicyMode, allowed: boolean) =>
    outcomeOf(name, { mode, allowed, reason: allowed ? "" : `${name} says no` });
  const outcomes = [outcome("new", "observe", candidate), outcome("old", "enforce", production)];
  const verdict: Verdict = {
    allowed: production,
    code: production ? 0 : 403,
    reason: "",
    name: production ? "" : "old",
    added_headers: [],
    outcomes,
    logs: [],
  };
  const binding = { sha256: "0".repeat(64), room: "*", hooks: [], order: 0, percent: 1 } as const;
  return createOverseer({
    chainFor: () => [{ ...binding, name: "old", mode: "enforce" }],
    evaluate: () => Promise.resolve(verdict),
    limits: { ...LIMITS, max_frame_bytes: 262_144, payload_bytes: 262_144 },
    now: () => SPINE_NOW_MS,
    onLogs: () => {},
    candidates: test.started.candidates,
  });
}

Deno.test("a selected message is on both subjects; the copy is marked twice, otherwise equal", async () => {
  await using test = await testMirror(ALL);
  const data = new Uint8Array([1, 2, 3]);
  assert.equal(
    await send(pathOf(test), { event: { type: "chat", data }, origin: "c9", message_id: "m" }),
    undefined,
  );
  const [shadow] = await test.shadows();
  const primary = test.published.find(({ subject }) => subject === "in.t.acme.r.lobby");
  assert.equal(shadow?.subject, "shadow.in.t.acme.r.lobby");
  assert.deepEqual({ ...shadow?.headers }, { "x-arqon-origin": "c9", "x-arqon-shadow": "true" });
  assert.deepEqual({ ...primary?.headers }, { "x-arqon-origin": "c9" });
  const { headers, ...rest } = readEnvelope(shadow!.payload);
  const { headers: primary_headers, ...primary_rest } = readEnvelope(primary!.payload);
  assert.deepEqual(rest, primary_rest);
  assert.deepEqual({ ...headers }, { ...primary_headers, "x-arqon-shadow": "true" });
  const published = 'shield_mirror_traffic_total{rule="in.t.acme.*",outcome="published"}';
  await until("it is published", async () => await test.metric(published) === 1);
});

Deno.test("the trace id selects, else the connection id; unselected messages are counted", async () => {
  await using test = await testMirror({ rules: [{ prefix: "in.t.*", percent: 0.5 }] });
  const path = pathOf(test);
  for (let n = 0; n < 64; n++) {
    const trace_id = n.toString(16).padStart(2, "0").repeat(16);
    const room_id = `t${n}`;
    // The trace is the key, for any connection. A trace of zeros counts as no trace.
    if (n > 0) await send(path, { trace_id, room_id, connection_id: "a" });
    if (n > 0) await send(path, { trace_id, room_id, connection_id: "b" });
    await send(path, { room_id: `c${n}`, connection_id: `c${n}` });
    await send(path, { room_id: `c${n}`, connection_id: `c${n}` });
  }
  const rooms = (await test.shadows()).map(({ subject }) => subject);
  for (const kind of ["t", "c"]) {
    const of = rooms.filter((subject) => subject.startsWith(`shadow.in.t.acme.r.${kind}`));
    const distinct = new Set(of);
    assert.ok(distinct.size > 10 && distinct.size < 54, `${distinct.size} of 64`);
    assert.equal(of.length, 2 * distinct.size, "both of a key or none");
  }
  const out = 'shield_mirror_traffic_total{rule="in.t.*",outcome="sampled-out"}';
  assert.equal(await test.metric(out), 64 * 4 - 2 - rooms.length);
});

Deno.test("a rule that a tenant sets at run time is in force at once, and only for that tenant", async () => {
  await using test = await testMirror();
  const path = pathOf(test);
  await send(path);
  assert.deepEqual(await test.shadows(), []);
  const rules = [{ prefix: "in.t.acme.r.lob*", percent: 1 }];
  const set = await test.settings.change("acme", "root", (before) => ({
    ...before,
    mirror: { rules },
  }));
  assert.ok(await test.settings.reached("acme", set.revision, 10_000));
  await send(path);
  await send(path, { room_id: "other" });
  assert.deepEqual((await test.shadows()).map(({ subject }) => subject), [
    "shadow.in.t.acme.r.lobby",
  ]);
});

Deno.test("a client's own shadow header is refused and signals are copied like events", async () => {
  await using test = await testMirror(ALL);
  const path = pathOf(test);
  const headers = { "X-Arqon-Shadow": "true" };
  assert.equal(await send(path, { headers }), "reserved-header");
  const caller_signal = { kind: "BAN" as const, target: "bob", reason: "", until_ms: 0 };
  assert.deepEqual(await test.shadows(), []);
  const envelope = scanEnvelope(writeEnvelope({ room_id: "lobby", signal: caller_signal }), LIMITS);
  const caller = callerOf({ ...ann, role: "service" });
  await publish(path, { caller, origin: undefined }, envelope);
  assert.equal((await test.shadows()).length, 1);
});

Deno.test("a copy that cannot be sent does not affect the primary", async () => {
  await using test = await testMirror({ ...ALL, buffer_bytes: 65_536 });
  const path = pathOf(test);
  const data = new Uint8Array(100_000);
  assert.equal(await send(path, { event: { type: "big", data } }), undefined);
  await test.engine.spine.flush();
  assert.equal(test.published.length, 1);
  const dropped = 'shield_mirror_traffic_total{rule="in.t.acme.*",outcome="dropped"}';
  assert.equal(await test.metric(dropped), 1);
});

Deno.test("candidates are compared on selected messages: in both directions, with examples", async () => {
  await using test = await testMirror(ALL);
  const say = async (production: boolean, candidate: boolean) =>
    await send(pathOf(test, overseerSaying(test, production, candidate)), { trace_id: TRACE_ID });
  assert.equal(await say(true, true), undefined);
  assert.equal(await say(true, false), undefined, "an observer refuses nothing");
  assert.equal(await say(false, true), "policy-rejected");
  assert.equal(await say(false, false), "policy-rejected");
  const { body } = await test.ask("GET", "/v1/mirror/diff?tenant=acme");
  const example = { trace_id: TRACE_ID, room: "lobby", type: "chat", at_ms: SPINE_NOW_MS };
  assert.deepEqual(body, {
    node_id: "s1",
    tenant: "acme",
    candidates: [{
      tenant: "acme",
      candidate: "policy:new",
      mirrored: 4,
      agree: 2,
      would_refuse: 1,
      would_allow: 1,
      unmatched: 0,
      examples: [
        { ...example, would: "refuse", reason: "new says no" },
        { ...example, would: "allow", reason: "" },
      ],
    }],
  });
  assert.equal((await test.shadows()).length, 2, "a message that production refused is not copied");
  assert.equal(await test.metric('shield_mirror_verdicts_total{outcome="agree"}'), 2);
});

Deno.test("examples of a deleted tenant are not shown to a later one of its name", async () => {
  await using test = await testMirror(ALL);
  const bucket = await test.engine.spine.keyValue(TENANTS_BUCKET);
  const examples = async () =>
    (await test.ask("GET", "/v1/mirror/diff?tenant=acme")).body.candidates.length;
  const change = async (percent: number) => {
    const mirror = { rules: [{ prefix: "in.t.acme.*", percent }] };
    const { revision } = await test.settings.change("acme", "root", (old) => ({ ...old, mirror }));
    assert.ok(await test.settings.reached("acme", revision, 10_000));
  };
  await change(1);
  await send(pathOf(test, overseerSaying(test, true, false)), { trace_id: TRACE_ID });
  await change(0.5);
  assert.equal(await examples(), 1);
  await markDeleted(bucket, "acme", 1);
  await until("they are forgotten", async () => await examples() === 0);
});

Deno.test("a candidate with two verdicts about a message counts once, as a refusal if either is", async () => {
  await using test = await testMirror(ALL);
  const { candidates } = test.started;
  for (const [first, second] of [[true, false], [false, true], [false, false]] as const) {
    const onMessage: MessagePath["overseer"]["onMessage"] = (_caller, envelope) => {
      for (const refuse of [first, second]) {
        const verdict = { tenant_id: "acme", candidate: "schema:s", refuse, reason: "" };
        candidates.record(envelope, verdict);
      }
      return undefined;
    };
    assert.equal(await send(pathOf(test, { ...NO_POLICIES, onMessage })), undefined);
  }
  const { body } = await test.ask("GET", "/v1/mirror/diff?tenant=acme");
  const [{ mirrored, agree, would_refuse }] = body.candidates;
  assert.deepEqual([mirrored, agree, would_refuse], [3, 1, 2]);
});

Deno.test("an example of a message without a trace has its assigned trace", async () => {
  await using test = await testMirror(ALL);
  await send(pathOf(test, overseerSaying(test, true, false)));
  const [shadow] = await test.shadows();
  const { body } = await test.ask("GET", "/v1/mirror/diff?tenant=acme");
  assert.equal(body.candidates[0].examples[0].trace_id, readEnvelope(shadow!.payload).trace_id);
});

Deno.test("messages that no rule selects are not compared, nor are commands", async () => {
  await using test = await testMirror({ rules: [{ prefix: "in.t.acme.r.vip*", percent: 1 }] });
  await send(pathOf(test, overseerSaying(test, false, true)));
  await send(pathOf(test, overseerSaying(test, true, false)));
  const path = pathOf(test, overseerSaying(test, false, true));
  const command = { name: "room.get" };
  assert.equal(await send(path, { room_id: "vip", command }), "policy-rejected");
  const { body } = await test.ask("GET", "/v1/mirror/diff?tenant=acme");
  assert.deepEqual(body.candidates, []);
});

Deno.test("if it is off, nothing is mirrored and there is no API", async () => {
  await using engine = testSpine();
  using stored = await settingsOn(engine.spine);
  const config = configFrom({ platform: { mirroring: { enabled: false, ...ALL } } });
  const off = startMirror({ ...stored, config, node_id: "s1" });
  assert.equal(off.mirror, undefined);
  assert.equal(off.candidates, NO_CANDIDATES);
  assert.equal(off.admin, undefined);
  await off.close();
});
