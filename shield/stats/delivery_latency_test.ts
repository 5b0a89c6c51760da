/** The stamp of an envelope, read without decoding it, and its bucket in the histogram. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { scanEnvelope, stampRouted, writeEnvelope } from "@arqon/proto";
import { createDeliveryLatency, observeDelivery, stampedMs } from "./delivery_latency.ts";
import { keptSubscriber, testHub } from "../fanout/testing/hub.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";

const EVENT = { type: "chat", data: new Uint8Array(3) };

function envelope(timestamp_ms: number, room_id = "lobby", trace_id = "ab".repeat(16)) {
  return writeEnvelope({ trace_id, tenant_id: "t1", room_id, timestamp_ms, event: EVENT });
}

Deno.test("the stamp of every envelope is read, whatever precedes it", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    fc.string({ unit: "grapheme", maxLength: 300 }),
    fc.constantFrom("", "ab".repeat(16)),
    (timestamp_ms, room_id, trace_id) => {
      assert.equal(stampedMs(envelope(timestamp_ms, room_id, trace_id)), timestamp_ms);
    },
  ));
});

Deno.test("invalid envelopes, and envelopes without a stamp in its place, are ignored", () => {
  assert.equal(stampedMs(envelope(0)), 0);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    assert.ok(stampedMs(bytes) >= 0);
  }));
  const whole = envelope(SPINE_NOW_MS);
  const read = whole.keys().map((size) => stampedMs(whole.subarray(0, size)));
  assert.deepEqual([...new Set(read)].filter((one) => one !== 0), [SPINE_NOW_MS]);
  const latency = createDeliveryLatency();
  observeDelivery(latency, envelope(0), SPINE_NOW_MS);
  assert.equal(latency.count, 0);
});

Deno.test("a clock that is ahead counts as no time at all", () => {
  const latency = createDeliveryLatency();
  observeDelivery(latency, envelope(SPINE_NOW_MS + 5_000), SPINE_NOW_MS);
  observeDelivery(latency, envelope(SPINE_NOW_MS - 1_500), SPINE_NOW_MS);
  assert.deepEqual([latency.counts[0], latency.sum], [1, 1.5]);
});

Deno.test("one observation per fan-out, not per receiver; none for messages of backends", async () => {
  await using test = testHub();
  const { hub, spine, stats, clock } = test;
  const subscribers = ["c1", "c2", "c3"].map((id) => keptSubscriber(id));
  for (const subscriber of subscribers) hub.subscribe("t1", "lobby", subscriber);
  clock.now_ms = SPINE_NOW_MS + 40;
  spine.publish(roomSubject("in", "t1", "lobby"), envelope(SPINE_NOW_MS));
  spine.publish(roomSubject("out", "t1", "lobby"), envelope(1));
  await spine.flush();
  assert.equal(stats.egress_messages, 6);
  assert.equal(stats.delivery_latency.count, 1);
  assert.equal(stats.delivery_latency.sum, 0.04);
});

Deno.test("a Shield writes the stamp where it is expected", () => {
  const scan = scanEnvelope(
    writeEnvelope({ room_id: "lobby", event: EVENT }),
    { headers: 32, header_bytes: 8_192, field_bytes: 128 },
  );
  const bytes = new Uint8Array(1_024);
  const routed = stampRouted(scan, {
    trace_id: "ab".repeat(16),
    tenant_id: "t1",
    room_id: "lobby",
    timestamp_ms: SPINE_NOW_MS,
    sender_id: "ann",
    twist_id: "00000000-0000-4000-8000-000000000000",
  }, { bytes, reserve: () => 0 });
  assert.equal(stampedMs(routed), SPINE_NOW_MS);
});
