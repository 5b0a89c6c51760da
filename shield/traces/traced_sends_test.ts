/** Spans of what a Shield hands to the Spine, by the real SDK to a collector; outages and refusals too. */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import type { Spine, SpineHeaders } from "../../shared/spine/contract/spine.ts";
import { commandSubject, roomSubject } from "../../shared/subjects/subject.ts";
import { telemetryResource } from "../../shared/telemetry/resource.ts";
import { startTracing } from "../../shared/telemetry/tracing.ts";
import type { Tracing } from "../../shared/telemetry/tracing.ts";
import { startOtlpReceiver } from "../../tests/otlp/receiver.ts";
import type { OtlpSpan } from "../../tests/otlp/receiver.ts";
import { PLAIN_ROOMS } from "../durable/log/logs.ts";
import { FlushQueue } from "../connection/flush_queue.ts";
import { tracedLogs, tracedSends } from "./traced_sends.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const traced = (flags: string) => ({ traceparent: `00-${TRACE}-${PARENT}-${flags}` });
const SUBJECT = roomSubject("in", "acme", "lobby");
const PAYLOAD = new Uint8Array([1, 2, 3]);

/** Runs `body` with an embedded Spine; resolves with the spans that it made. */
async function spansOf(
  body: (spine: Spine, tracing: Tracing) => Promise<void>,
): Promise<readonly OtlpSpan[]> {
  await using collector = await startOtlpReceiver();
  const now = Date.now;
  const write = () => {};
  const log = createLogger({ level: "error", format: "logfmt", component: "shield", now, write });
  const tracing = await startTracing({
    telemetry: configFrom({ telemetry: { otlp_url: collector.url } }).telemetry,
    resource: telemetryResource({ service_name: "arqon-shield", node_id: "s1", version: "0" }),
    registry: createMetrics({ node_id: "s1", version: "0" }),
    log,
    readTextFile: Deno.readTextFileSync,
    now_ms: now,
  });
  assert.ok(tracing !== undefined);
  const spine = openEmbedded({ log, now });
  try {
    await body(spine, tracing);
  } finally {
    await spine.drain();
    await tracing.stop();
  }
  return collector.spans();
}

Deno.test("a message of a recorded trace has a span, and its receivers are below it", async () => {
  const heard: SpineHeaders[] = [];
  const [send, ...more] = await spansOf(async (spine, tracing) => {
    spine.subscribe(SUBJECT, ({ headers }) => void heard.push({ ...headers }));
    const sends = tracedSends(spine, new FlushQueue(spine), tracing);
    sends.give(SUBJECT, PAYLOAD, { "x-arqon-origin": "c1", ...traced("01") });
    sends.give(SUBJECT, PAYLOAD, traced("00"));
    sends.give(SUBJECT, PAYLOAD, { "x-arqon-origin": "c1" });
    sends.give(SUBJECT, PAYLOAD);
    await spine.flush();
  });
  assert.deepEqual(more, [], "what is not recorded has none");
  assert.deepEqual([send?.name, send?.trace_id, send?.parent_span_id], ["send", TRACE, PARENT]);
  assert.equal(send?.attributes["messaging.system"], "arqon");
  assert.equal(send?.attributes["messaging.destination.name"], SUBJECT);
  assert.equal(send?.attributes["server.port"], undefined);
  assert.deepEqual(heard, [
    { "x-arqon-origin": "c1", traceparent: `00-${TRACE}-${send?.span_id}-01` },
    traced("00"),
    { "x-arqon-origin": "c1" },
    {},
  ]);
});

Deno.test("what the Spine does not take, or nobody answers, is a failed span", async () => {
  const subject = commandSubject("acme", "lobby");
  const spans = await spansOf(async (spine, tracing) => {
    const sends = tracedSends(spine, new FlushQueue(spine), tracing);
    const options = { timeout_ms: 1_000, headers: traced("01") };
    await assert.rejects(sends.request(subject, PAYLOAD, options), { reason: "brain-unavailable" });
    const logs = tracedLogs(PLAIN_ROOMS.logs, spine, tracing);
    const at = { tenant_id: "acme", room_id: "lobby" };
    const room_class = PLAIN_ROOMS.classes.of(at.tenant_id, at.room_id);
    const message = { envelope: PAYLOAD, message_id: "", sender_id: "ann" };
    const stored = logs.append({ ...at, ...message, room_class, headers: traced("01") });
    await assert.rejects(stored, { reason: "log-unavailable" });
    await spine.drain();
    assert.throws(
      () => sends.give(SUBJECT, PAYLOAD, traced("01")),
      { reason: "spine-unavailable" },
    );
  });
  assert.deepEqual(
    spans.map(({ name, status, attributes }) => [name, status.code, attributes["error.type"]]),
    [
      ["request", 2, "brain-unavailable"],
      ["send", 2, "log-unavailable"],
      ["send", 2, "spine-unavailable"],
    ],
  );
});
