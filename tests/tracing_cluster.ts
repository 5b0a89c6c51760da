/**
 * For the tests of traces: a cluster that sends its spans to a collector, and checks of spans. `telemetry_test.ts` has
 * the scenarios.
 */
import assert from "node:assert/strict";
import type { Connection, Message } from "@arqon/sdk";
import { until } from "../shared/testing/until.ts";
import { binary, guestText } from "../shield/policy/testing/guests.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import type { OtlpReceiver, OtlpSpan } from "./otlp/receiver.ts";
import { enforce } from "./peers/policy_admin.ts";
import { requirePing } from "./peers/schema_admin.ts";

/** The client's span, the parent of every trace of these tests. */
export const CLIENT_SPAN = "b7ad6b7169203331";

/** A trace id for each number. */
export const traceOf = (n: number) => n.toString(16).padStart(2, "0").repeat(16);
/** Its `traceparent`, with the client's span. */
export const parentOf = (n: number, flags = "01") => `00-${traceOf(n)}-${CLIENT_SPAN}-${flags}`;

/** The inputs of a scenario. */
export interface Cluster {
  readonly collector: OtlpReceiver;
  readonly issuer: Issuer;
  readonly nats_port: number;
  readonly shields: readonly [ServerProcess, ServerProcess];
  /** On the first Shield. */
  readonly sender: Connection;
  /** On the second. */
  readonly listener: Connection;
}

/** Spans of one trace, once the expected number has arrived. */
export async function spansOf({ collector }: Cluster, trace_id: string, names: readonly string[]) {
  const found = () => collector.spans().filter((span) => span.trace_id === trace_id);
  const shown = () => found().map(({ name }) => name).sort().join();
  const expected = [...names].sort().join();
  await until(() => `expected ${expected}, got ${shown()}`, () => shown() === expected);
  return found();
}

/** The only span of that name, of that service if given. */
export function one(spans: readonly OtlpSpan[], name: string, service?: string): OtlpSpan {
  const found = spans.filter((span) =>
    span.name === name && (service === undefined || span.resource["service.name"] === service)
  );
  assert.equal(found.length, 1, `${found.length} spans ${name}`);
  return found[0]!;
}

/** The root is the client's span, and every other parent is a span of the trace. */
export function assertConnected(spans: readonly OtlpSpan[]): void {
  const ids = new Set(spans.map(({ span_id }) => span_id));
  assert.equal(ids.size, spans.length);
  const roots = spans.filter(({ parent_span_id }) => !ids.has(parent_span_id));
  assert.deepEqual(roots.map(({ parent_span_id }) => parent_span_id), [CLIENT_SPAN]);
  for (const { name, start_ns, end_ns } of spans) assert.ok(end_ns >= start_ns, name);
}

/** New messages of a room. */
export async function receivedIn(
  listener: Connection,
  room: string,
): Promise<AsyncIterator<Message>> {
  const messages = listener.room(room).subscribe();
  await messages.ready;
  return messages[Symbol.asyncIterator]();
}

const KINDS = { server: 2, client: 3, producer: 4, consumer: 5 };

/** The Spine's spans: below the sender's, above the receivers', and named as in OpenTelemetry. */
export function assertSpine(
  { nats_port }: Cluster,
  sent: OtlpSpan,
  below: OtlpSpan,
  destination: string,
  above: readonly OtlpSpan[],
): void {
  assert.equal(sent.parent_span_id, below.span_id);
  assert.equal(sent.kind, sent.name === "request" ? KINDS.client : KINDS.producer);
  assert.equal(sent.attributes["messaging.system"], "nats");
  assert.equal(sent.attributes["messaging.operation.type"], "send");
  assert.equal(sent.attributes["messaging.destination.name"], destination);
  assert.equal(sent.attributes["server.address"], "127.0.0.1");
  assert.equal(sent.attributes["server.port"], nats_port);
  assert.equal(sent.attributes["arqon.tenant"], "acme");
  for (const { name, kind, parent_span_id, attributes } of above) {
    assert.equal(parent_span_id, sent.span_id, name);
    assert.equal(kind, name === "command" ? KINDS.server : KINDS.consumer, name);
    assert.equal(attributes["messaging.system"], "nats");
    assert.equal(attributes["messaging.operation.type"], "process");
    // The log's own subject differs from the one of its subscribers.
    assert.equal(attributes["messaging.destination.name"], destination.replace(/^log/, "in"));
  }
}

/** Log lines of one call; the first is short and the others are long. */
export const CHATTY_LINES = 20;

function chattyPolicy(): Uint8Array<ArrayBuffer> {
  const line = (level: number, size: number) =>
    `(call $log (i32.const ${level}) (i32.const 16) (i32.const ${size}))`;
  const lines = [line(1, 9), ...Array(CHATTY_LINES - 1).fill(line(3, 1_000))];
  const more = `(data (i32.const 16) "all is ok${"x".repeat(991)}")`;
  return binary(guestText({ body: `${lines.join(" ")} (i32.const 0)`, more }));
}

/** Logs a greeting for each connection. */
function greeterPolicy(): Uint8Array<ArrayBuffer> {
  const body = "(call $log (i32.const 2) (i32.const 16) (i32.const 5)) (i32.const 0)";
  return binary(guestText({ hook: "on_connect", body, more: '(data (i32.const 16) "hello")' }));
}

/** Deploys the policies and the schema for the scenarios. */
export async function prepare({ issuer, shields: [shield] }: Omit<Cluster, "sender" | "listener">) {
  const admin_url = shield.ready.admin_url ?? "";
  const tokenFor = () => issuer.tokenFor({ role: "admin", sub: "root" });
  const bus = { admin_url, tokenFor };
  await enforce(bus, "bad_words", { tenant: "acme", name: "words" });
  await enforce(bus, chattyPolicy(), { tenant: "acme", name: "chatty", room: "chatty-*" });
  await enforce(bus, greeterPolicy(), { tenant: "acme", name: "greeter" });
  await requirePing(bus, "acme", "pings-*");
}
