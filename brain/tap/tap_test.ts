/** The tap behind an embedded Spine, and the fairness of its sampling. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type EnvelopeInput, writeEnvelope } from "@arqon/proto";
import { createLogger } from "../../shared/logs/log.ts";
import { createLogging } from "../../shared/logs/logging.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { ALL_TAPPED, tapSubject } from "../../shared/subjects/subject.ts";
import { isTapped } from "../../shared/records/tap_sample.ts";
import { countTapped, createTap } from "./capability.ts";

const utf8 = new TextEncoder();
const hexDigits = fc.constantFrom(..."0123456789abcdef");
const traceId = fc.array(hexDigits, { minLength: 32, maxLength: 32 }).map((list) => list.join(""));
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

interface Tapped {
  readonly lines: string[];
  /** Messages by outcome. */
  readonly outcomes: Record<string, number>;
}

/** Publishes through an embedded Spine and returns the tap's outcome. */
async function tapped(
  fraction: number,
  messages: readonly [payload: Uint8Array, headers?: SpineHeaders][],
): Promise<Tapped> {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line.trimEnd());
  const now = () => 1_700_000_000_000;
  const log = createLogger({ level: "info", format: "logfmt", component: "brain", now, write });
  const spine = openEmbedded({ log, now });
  const tapped = countTapped(createMetrics({ node_id: "b1", version: "0" }));
  spine.subscribe(ALL_TAPPED, createTap({ fraction, log, tapped, spine }), { queue: "brain" });
  for (const [payload, headers] of messages) {
    spine.publish(tapSubject("acme", "lobby"), payload, headers);
  }
  await spine.flush();
  await spine.drain();
  const outcomes = Object.fromEntries(Object.entries(tapped).filter(([, total]) => total > 0));
  return { lines, outcomes };
}

function envelope(more: EnvelopeInput = {}): Uint8Array {
  return writeEnvelope({
    trace_id: TRACE_ID,
    tenant_id: "acme",
    room_id: "lobby",
    event: { type: "chat", data: utf8.encode("a secret"), content_type: "text/plain" },
    ...more,
  });
}

Deno.test("a sampled message is one line that names it and never shows its payload", async () => {
  const payload = envelope();
  const { lines, outcomes } = await tapped(1, [[payload]]);
  assert.deepEqual(lines, [
    `level=info component=brain module=tap tenant_id=acme room=lobby type=chat trace_id=${TRACE_ID} ` +
    `bytes=${payload.length} msg="message" ts=2023-11-14T22:13:20.000Z`,
  ]);
  assert.deepEqual(outcomes, { logged: 1 });
});

Deno.test("a type that tries to forge a line stays within its own", async () => {
  const type = 'x" level=error\nlevel=error msg="forged';
  const { lines } = await tapped(1, [[envelope({ event: { type } })]]);
  assert.equal(lines.length, 1);
  assert.ok(!lines[0]?.includes("\n"));
});

Deno.test("a signal is named by its kind", async () => {
  const signal = writeEnvelope({
    trace_id: TRACE_ID,
    tenant_id: "acme",
    room_id: "lobby",
    signal: { kind: "GAP" },
  });
  const { lines } = await tapped(1, [[signal]]);
  assert.match(lines[0] ?? "", / type=signal:GAP /);
});

Deno.test("mirrored traffic is not logged, nor what cannot be read, but both are counted", async () => {
  const { lines, outcomes } = await tapped(1, [
    [envelope(), { "x-arqon-shadow": "true" }],
    [new Uint8Array([0xff, 0xff, 0xff])],
    [envelope()],
  ]);
  assert.equal(lines.length, 1);
  assert.equal(outcomes.shadow, 1);
  assert.equal(outcomes.logged, 1);
  assert.equal(outcomes.undecodable, 1);
});

Deno.test("lines above a text's limit are dropped, and the log does not warn about it", async () => {
  const lines: string[] = [];
  const clock = { now_ms: 1_700_000_000_000 };
  const logging = createLogging({
    level: "info",
    format: "logfmt",
    lines_per_second: 5,
    node_id: "b1",
    now: () => clock.now_ms,
    write: (line) => void lines.push(line),
  });
  const registry = createMetrics({ node_id: "b1", version: "0" });
  logging.register(registry);
  const log = logging.of("brain");
  const tapped = countTapped(registry);
  const spine = openEmbedded({ log, now: () => clock.now_ms });
  const tap = createTap({ fraction: 1, log, tapped, spine });
  const subject = tapSubject("acme", "lobby");
  const message = { subject, payload: envelope(), headers: {}, respond: () => {} };
  for (let second = 0; second < 2; second++) {
    for (let count = 0; count < 100; count++) tap(message);
    clock.now_ms += 1_000;
  }
  log.info("something else");
  logging.close();
  await spine.drain();
  assert.equal(lines.length, 11);
  assert.ok(lines.slice(0, 10).every((line) => line.includes('msg="message"')), lines.join(""));
  const page = await registry.metrics();
  assert.match(page, /^brain_tap_messages_total\{outcome="logged"\} 10$/m);
  assert.match(page, /^brain_tap_messages_total\{outcome="left_out"\} 190$/m);
  assert.match(page, /^arqon_log_left_out_total 0$/m);
});

Deno.test("fraction 0 samples no trace and fraction 1 every one", () => {
  fc.assert(fc.property(traceId, (trace_id) => {
    assert.equal(isTapped(utf8.encode(trace_id), 0), false);
    assert.equal(isTapped(utf8.encode(trace_id), 1), true);
  }));
});

Deno.test("traces sampled at a smaller fraction are sampled at a larger one, too", () => {
  const unit = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(fc.property(traceId, unit, unit, (trace_id, one, other) => {
    const smaller = isTapped(utf8.encode(trace_id), Math.min(one, other));
    const larger = isTapped(utf8.encode(trace_id), Math.max(one, other));
    assert.ok(larger || !smaller);
  }));
});

Deno.test("the fraction holds for trace ids that count up", () => {
  const total = 100_000;
  for (const fraction of [0.01, 0.1, 0.5]) {
    let taken = 0;
    for (let index = 1; index <= total; index++) {
      if (isTapped(utf8.encode(index.toString(16).padStart(32, "0")), fraction)) taken++;
    }
    const expected = total * fraction;
    // Five standard deviations of a fair draw; the input is fixed, so the test is deterministic.
    const tolerance = 5 * Math.sqrt(expected * (1 - fraction));
    assert.ok(Math.abs(taken - expected) < tolerance, `${taken} of ${total} at ${fraction}`);
  }
});
