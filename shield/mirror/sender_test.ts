/**
 * Copies on their way to the Spine: limits, order, and refusals: immediate, later or by timeout. On an embedded engine
 * and on a real NATS that denies the shadow.
 */
import assert from "node:assert/strict";
import { readEnvelope, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { openNats } from "../../shared/spine/nats/nats.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { subjectPattern } from "../../shared/spine/testing/subjects.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { keptLog, listenToAll, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { MirrorRules } from "./rules.ts";
import { routedTraceId, type ShadowCopy, shadowEnvelope, ShadowSender } from "./sender.ts";
import { MirrorStats } from "./stats.ts";

const TRACE_ID = "0123456789abcdef0123456789abcdef";

function testSender(spine: Spine, limits: Partial<Record<string, number>> = {}) {
  const { log, lines } = keptLog();
  let now_ms = SPINE_NOW_MS;
  const sender = new ShadowSender({
    spine,
    buffer_messages: 1_000,
    buffer_bytes: 1_000_000,
    pending_bytes_max: 1_000_000,
    log,
    monotonic_ms: () => now_ms,
    onSend: () => {},
    ...limits,
  });
  const rules = new MirrorRules([{ prefix: "in.t.*", percent: 1 }], new MirrorStats().totalsOf);
  const copy = (n: number, tenant_id = "acme"): ShadowCopy => {
    const subject = roomSubject("in", tenant_id, "lobby");
    const event = { type: "chat", data: new TextEncoder().encode(String(n)) };
    const envelope = writeEnvelope({ trace_id: TRACE_ID, room_id: "lobby", event });
    return {
      rule: rules.match(subject, tenant_id)!,
      subject,
      tenant_id,
      envelope,
      headers: { "x-arqon-origin": "c1" },
    };
  };
  const { totals } = rules.match(roomSubject("in", "acme", "lobby"), "acme")!;
  const later = (ms: number) => now_ms += ms;
  return { sender, copy, totals, lines, later };
}

Deno.test("a shadow envelope is the routed one with one more header, readable and scannable", () => {
  const event = { type: "chat", data: new Uint8Array([1, 2, 3]) };
  const routed = writeEnvelope({
    trace_id: TRACE_ID,
    room_id: "lobby",
    headers: { "X-Twist-ID": "t" },
    event,
  });
  const shadow = shadowEnvelope(routed);
  const before = readEnvelope(routed);
  const read = readEnvelope(shadow);
  assert.deepEqual({ ...read.headers }, { ...before.headers, "x-arqon-shadow": "true" });
  assert.deepEqual({ ...read, headers: {} }, { ...before, headers: {} });
  const limits = { headers: 8, header_bytes: 1_000, field_bytes: 100 };
  assert.equal(scanEnvelope(shadow, limits).header_spans.length, 8);
  assert.deepEqual(shadow.subarray(0, routed.length), routed);
  assert.equal(routedTraceId(routed), TRACE_ID);
  assert.equal(routedTraceId(writeEnvelope({ room_id: "lobby", event })), undefined);
});

Deno.test("copies arrive on the shadow subject in order, marked, with the primary's headers", async () => {
  await using engine = testSpine();
  const published = listenToAll(engine.spine);
  const { sender, copy, totals } = testSender(engine.spine);
  for (let n = 0; n < 300; n++) sender.push(copy(n));
  assert.equal(published.length, 0, "nothing is sent during the primary's publish");
  assert.equal(sender.messages, 300);
  await until("all confirmed", () => totals.published === 300);
  const texts = published.map(({ payload }) =>
    new TextDecoder().decode(readEnvelope(payload).event?.data)
  );
  assert.deepEqual(texts, Array.from({ length: 300 }, (_, n) => String(n)));
  assert.deepEqual({ ...published[0]!.headers }, {
    "x-arqon-origin": "c1",
    "x-arqon-shadow": "true",
  });
  assert.equal(published[0]!.subject, "shadow.in.t.acme.r.lobby");
  assert.deepEqual([sender.messages, sender.bytes], [0, 0]);
  await sender.close();
});

Deno.test("copies beyond the buffer's limits are dropped, by number and by bytes", async () => {
  await using engine = testSpine();
  const few = testSender(engine.spine, { buffer_messages: 10 });
  for (let n = 0; n < 25; n++) few.sender.push(few.copy(n));
  assert.deepEqual([few.totals.dropped, few.sender.messages], [17, 8]);
  few.sender.push(few.copy(0, "other"));
  assert.equal(few.sender.messages, 9, "there is room for another tenant's");
  await few.sender.close();
  assert.equal(few.totals.published, 9, "queued copies were sent at the close");
  few.sender.push(few.copy(0));
  assert.equal(few.totals.dropped, 18, "closed");
  const small = testSender(engine.spine, { buffer_bytes: 100 });
  for (let n = 0; n < 25; n++) small.sender.push(small.copy(n));
  assert.ok(small.totals.dropped > 20 && small.sender.bytes <= 100);
  await small.sender.close();
});

Deno.test("while the Spine is busy, copies wait, so that the primary has space", async () => {
  await using engine = testSpine();
  const { sender, copy, totals } = testSender(engine.spine, { pending_bytes_max: 20 });
  engine.spine.subscribe(subjectPattern("in.>"), () => {});
  engine.spine.publish(roomSubject("in", "acme", "lobby"), new Uint8Array(100));
  assert.ok(engine.spine.status.pending_bytes > 10);
  sender.push(copy(1));
  await sender.close();
  assert.deepEqual([totals.published, totals.dropped], [0, 1], "not even at the end");
  const patient = testSender(engine.spine, { pending_bytes_max: 20 });
  patient.sender.push(patient.copy(1));
  await until("sent after the pause", () => patient.totals.published === 1);
  await patient.sender.close();
});

Deno.test("copies that a closed engine refuses have failed, with rate-limited log lines", async () => {
  const engine = testSpine();
  const { sender, copy, totals, lines, later } = testSender(engine.spine);
  await engine.spine.drain();
  for (let n = 0; n < 50; n++) sender.push(copy(n));
  await until("all failed", () => totals.failed === 50);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /level=warn .*rule=in\.t\.\* tenant_id=acme subject=shadow\.in\.t\.acme/);
  later(10_000);
  sender.push(copy(1));
  await until("one more", () => totals.failed === 51);
  assert.match(lines[1]!, /failed=50/, "those since the last line");
  await sender.close();
});

Deno.test("on a real NATS that denies one tenant's shadow, only that fails", async () => {
  const denied = 'permissions: { publish: { deny: "shadow.in.t.acme.>" } }';
  await using server = await startNats({
    config: `authorization { users: [ { user: u, password: p, ${denied} } ] }`,
  });
  const url = server.url.replace("nats://", "nats://u:p@");
  const config = configFrom({ nats: { urls: [url] } }).nats!;
  const kept = keptLog();
  const spine = await openNats({ config, log: kept.log, now: () => SPINE_NOW_MS });
  await using _end = atEnd(() => spine.drain());
  const shadows = listenToAll(spine);
  await spine.flush();
  const { sender, copy, totals, lines, later } = testSender(spine);
  const acme = roomSubject("in", "acme", "lobby");
  for (let n = 0; n < 200; n++) {
    sender.push(copy(n));
    sender.push(copy(n, "globex"));
  }
  spine.publish(acme, new Uint8Array([1]));
  await spine.flush();
  await until("all settled", () => totals.published + totals.failed === 400);
  assert.deepEqual([totals.published, totals.failed], [200, 200]);
  assert.match(lines.join(""), /tenant_id=acme .*NATS denies shadow\.in\.t\.acme\.r\.lobby/);
  const errors = kept.lines.filter((line) => line.includes("level=error"));
  assert.equal(errors.length, 1, "one line, for any number of denied messages");
  await spine.flush();
  const of = (prefix: string) => shadows.filter(({ subject }) => subject.startsWith(prefix));
  assert.deepEqual([of("shadow.").length, of("in.").length], [200, 1]);
  later(1_000);
  sender.push(copy(1));
  await until("tried again", () => totals.failed === 201);
  assert.equal(spine.status.state, "connected");
  await sender.close();
});
