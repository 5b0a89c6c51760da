/** Spans of a Shield's sends to the Spine, by the real SDK to a collector; outages and refusals, too. */
import assert from "node:assert/strict";
import { ArqonError, type ScannedEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { commandSubject, roomSubject } from "../../shared/subjects/subject.ts";
import { telemetryResource } from "../../shared/telemetry/resource.ts";
import { startTracing } from "../../shared/telemetry/start.ts";
import type { Tracing } from "../../shared/telemetry/tracing.ts";
import { type OtlpSpan, startOtlpReceiver } from "../../tests/otlp/receiver.ts";
import type { JournalEntry } from "../../shared/journal/record.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { until } from "../../shared/testing/until.ts";
import { ann } from "../auth/testing/identity.ts";
import { Journal } from "../journal/journal.ts";
import { JournalRules } from "../journal/journal_place.ts";
import { observersOf } from "../message/observers.ts";
import { publish } from "../message/pipeline.ts";
import { callerOf, scan, testPath } from "../message/testing/path.ts";
import { tracedLogs, tracedSends, Traces } from "./traces.ts";
import { PLAIN_ROOMS } from "../durable/log/logs.ts";
import { FlushQueue } from "../connection/flush_queue.ts";

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
  const log = QUIET;
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

Deno.test("a message of a recorded trace has a span, with its receivers as children", async () => {
  const received: SpineHeaders[] = [];
  const [send, ...more] = await spansOf(async (spine, tracing) => {
    spine.subscribe(SUBJECT, ({ headers }) => void received.push({ ...headers }));
    const sends = tracedSends(spine, new FlushQueue(spine), tracing);
    sends.give(SUBJECT, PAYLOAD, { "x-arqon-origin": "c1", ...traced("01") });
    sends.give(SUBJECT, PAYLOAD, traced("00"));
    sends.give(SUBJECT, PAYLOAD, { "x-arqon-origin": "c1" });
    sends.give(SUBJECT, PAYLOAD);
    await spine.flush();
  });
  assert.deepEqual(more, [], "an unrecorded message has no span");
  assert.deepEqual([send?.name, send?.trace_id, send?.parent_span_id], ["send", TRACE, PARENT]);
  assert.equal(send?.flags, 0x301, "its parent belongs to another process");
  assert.equal(send?.resource["telemetry.sdk.name"], "opentelemetry");
  assert.equal(send?.resource["service.instance.id"], "s1");
  assert.equal(send?.attributes["messaging.system"], "arqon");
  assert.equal(send?.attributes["messaging.destination.name"], SUBJECT);
  assert.equal(send?.attributes["server.port"], undefined);
  assert.deepEqual(received, [
    { "x-arqon-origin": "c1", traceparent: `00-${TRACE}-${send?.span_id}-01` },
    traced("00"),
    { "x-arqon-origin": "c1" },
    {},
  ]);
});

Deno.test("a publish ends when its ACK may be sent: its span and the journal have the result of the flush", async () => {
  const written: JournalEntry[] = [];
  const journal = new Journal({
    rules: new JournalRules(configFrom({ journal: { journal: "all" } }).journal),
    classes: new RoomClasses([]),
    queue: { write: (_tenant, _keeping, entry) => void written.push(entry) },
    now: () => 0,
  });
  let ended_before: readonly boolean[] = [];
  const spans = await spansOf(async (_, tracing) => {
    const traces = new Traces(tracing, (count) => crypto.getRandomValues(new Uint8Array(count)));
    await using world = testPath();
    const outcomes = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const flushing = [...outcomes];
    const flush = () => flushing.shift()!.promise;
    const flushes = new FlushQueue({ flush } as Spine);
    const observers = observersOf([traces, journal]);
    const path = { ...world.path, traces, journal, observers, flushes };
    const envelopes = ["kept", "lost"].map((message_id) =>
      scan({ message_id, headers: traced("01") })
    );
    for (const envelope of envelopes) {
      assert.equal(
        publish(path, { caller: callerOf(ann), origin: undefined }, envelope),
        undefined,
      );
      // Each has its own flush.
      await Promise.resolve();
    }
    ended_before = envelopes.map((envelope) => traces.find(envelope)?.ended ?? true);
    assert.deepEqual(written, []);
    traces.find(envelopes[0] as ScannedEnvelope)?.child("schema", "internal").end();
    outcomes[0]?.resolve();
    outcomes[1]?.reject(new ArqonError("spine-unavailable"));
    await until("both are recorded", () => written.length === 2);
  });
  assert.deepEqual(ended_before, [false, false]);
  assert.deepEqual(
    spans.filter(({ name }) => name === "schema").map(({ flags }) => flags),
    [0x101],
    "its parent belongs to this process",
  );
  const shown = spans.filter(({ name }) => name === "publish");
  assert.deepEqual(
    shown.map(({ attributes, status }) => [attributes["messaging.message.id"], status.code]).sort(),
    [["kept", 0], ["lost", 2]],
  );
  assert.deepEqual(
    written.map(({ message_id, allowed, reason }) => [message_id, allowed, reason]),
    [["kept", true, ""], ["lost", false, "spine-unavailable"]],
  );
});

Deno.test("a send that the Spine refuses, or that nobody answers, is a failed span", async () => {
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
