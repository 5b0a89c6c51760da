/** Verdicts of shadow consumers over the Spine: matched by trace id, or counted as unmatched. */
import assert from "node:assert/strict";
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import { shadowVerdictsSubject } from "../../shared/subjects/subject.ts";
import { ann } from "../auth/testing/identity.ts";
import { callerOf, passedOf } from "../message/testing/path.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";
import { type TestMirror, testMirror } from "./testing/mirror.ts";
import { Decisions } from "./verdicts.ts";

const TRACE_ID = "0123456789abcdef0123456789abcdef";
const OTHER_ID = "f".repeat(32);
const ALL = { rules: [{ prefix: "in.t.*", percent: 1 }] };
const encoder = new TextEncoder();

function mirrorOne(test: TestMirror): void {
  const routed = writeEnvelope({ trace_id: TRACE_ID, room_id: "lobby", event: { type: "chat" } });
  const envelope = scanEnvelope(routed, { headers: 64, header_bytes: 16_384, field_bytes: 256 });
  const caller = callerOf(ann);
  test.started.mirror?.passed(passedOf({ caller, envelope, routed }));
}

function say(test: TestMirror, verdict: unknown, tenant_id = "acme"): void {
  const text = typeof verdict === "string" ? verdict : JSON.stringify(verdict);
  test.engine.spine.publish(shadowVerdictsSubject(tenant_id), encoder.encode(text));
}

async function candidates(test: TestMirror) {
  await test.engine.spine.flush();
  return (await test.ask("GET", "/v1/mirror/diff?tenant=acme")).body.candidates;
}

Deno.test("a verdict is compared with production's decision about its trace", async () => {
  await using test = await testMirror(ALL);
  mirrorOne(test);
  await test.shadows();
  say(test, { candidate: "model-7", trace_id: TRACE_ID, verdict: "allow" });
  say(test, { candidate: "model-7", trace_id: TRACE_ID, verdict: "refuse", reason: "spam" });
  say(test, { candidate: "model-7", trace_id: OTHER_ID, verdict: "refuse" });
  say(test, { candidate: "model-7", trace_id: TRACE_ID, verdict: "refuse" }, "globex");
  assert.deepEqual(await candidates(test), [{
    tenant: "acme",
    candidate: "model-7",
    mirrored: 2,
    agree: 1,
    would_refuse: 1,
    would_allow: 0,
    unmatched: 1,
    examples: [{
      trace_id: TRACE_ID,
      room: "lobby",
      type: "",
      would: "refuse",
      reason: "spam",
      at_ms: SPINE_NOW_MS,
    }],
  }]);
  assert.equal(await test.metric('shield_mirror_verdicts_total{outcome="unmatched"}'), 2);
  // After an erasure in the tenant, a slow consumer's verdict about an erased message leaves no example.
  test.started.forgets("acme");
  say(test, { candidate: "model-7", trace_id: TRACE_ID, verdict: "refuse", reason: "spam" });
  const [{ examples, unmatched }] = await candidates(test);
  assert.deepEqual([examples, unmatched], [[], 2]);
});

Deno.test("malformed verdicts are counted, logged at a limited rate, and change nothing", async () => {
  await using test = await testMirror(ALL);
  const good = { candidate: "model", trace_id: TRACE_ID, verdict: "allow" };
  const bad = [
    "not JSON",
    "[]",
    { ...good, candidate: "policy:words" },
    { ...good, candidate: "" },
    { ...good, candidate: "x".repeat(129) },
    { ...good, trace_id: "x" },
    { ...good, verdict: "maybe" },
    { ...good, reason: "x".repeat(5_000) },
  ];
  for (const verdict of bad) say(test, verdict);
  assert.deepEqual(await candidates(test), []);
  const malformed = 'shield_mirror_verdicts_total{outcome="malformed"}';
  assert.equal(await test.metric(malformed), bad.length);
  assert.equal(test.lines.filter((line) => line.includes("malformed")).length, 1);
});

Deno.test("an event of a service client is a verdict for all Shields, one of a user is not", async () => {
  await using test = await testMirror(ALL);
  mirrorOne(test);
  await test.shadows();
  const data = encoder.encode(
    JSON.stringify({ candidate: "staging", trace_id: TRACE_ID, verdict: "refuse" }),
  );
  const limits = { headers: 8, header_bytes: 1_000, field_bytes: 100 };
  const bytes = writeEnvelope({ room_id: "verdicts", event: { type: "SHADOW_VERDICT", data } });
  for (const role of ["user", "service"] as const) {
    const caller = callerOf({ ...ann, role });
    const envelope = scanEnvelope(bytes, limits);
    test.started.mirror?.passed(passedOf({ caller, envelope, routed: bytes }));
  }
  const [diff] = await candidates(test);
  assert.deepEqual([diff.candidate, diff.would_refuse], ["staging", 1]);
});

Deno.test("only the latest decisions are remembered", () => {
  const decisions = new Decisions(2);
  const remember = (trace: string) =>
    decisions.remember("acme", trace, { refused: false, room: "r" });
  for (const trace of ["a", "b", "a", "c"]) remember(trace);
  assert.equal(decisions.find("acme", "b"), undefined);
  assert.deepEqual(decisions.find("acme", "a"), { refused: false, room: "r" });
  assert.equal(decisions.find("globex", "a"), undefined);
});
