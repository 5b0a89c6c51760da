/**
 * The Spine's spans: for a message with a recorded trace, from sending until it is confirmed or answered. Receivers'
 * spans are children of it. A message without a recorded trace costs one check of its headers.
 */
import { ArqonError } from "@arqon/proto";
import type { Spine } from "../spine/contract/spine.ts";
import type { SpineHeaders } from "../spine/contract/spine_message.ts";
import { parseRoomSubject } from "../subjects/subject.ts";
import { parseTraceparent, type TraceContext, TRACEPARENT } from "./trace_context.ts";
import type { Span, SpanAttributes, Tracing } from "./tracing.ts";

/** A message for the Spine, with a recorded trace. */
export interface Sending {
  readonly subject: string;
  readonly size_bytes: number;
  readonly headers: SpineHeaders;
  readonly parent: TraceContext;
}

/** A running span, and the headers that pass it to receivers. */
interface SentSpan {
  readonly span: Span;
  readonly headers: SpineHeaders;
}

/** The engine as OpenTelemetry's `messaging.system`; the embedded one is none. */
export function messagingSystem({ status }: Pick<Spine, "status">): string {
  return status.engine === "nats" ? "nats" : "arqon";
}

/** `server.address` and `server.port` of "host:port version"; nothing for the embedded engine. */
function serverOf({ status }: Pick<Spine, "status">): SpanAttributes {
  const [, host, port] = /^(?:\[([^\]]+)\]|([^: ]+)):(\d+)/.exec(status.server ?? "")
    ?.filter((part) => part !== undefined) ?? [];
  return host === undefined ? {} : { "server.address": host, "server.port": Number(port) };
}

/** Tenant and room of a room's subject. */
export function roomAttributes(subject: string): SpanAttributes {
  const at = parseRoomSubject(subject);
  return at === undefined ? {} : { "arqon.tenant": at.tenantId, "arqon.room": at.roomId };
}

/** The recorded trace in the headers; no allocation if there is none. */
export function recordedIn(headers: SpineHeaders | undefined): TraceContext | undefined {
  const given = headers?.[TRACEPARENT];
  const parent = given === undefined ? undefined : parseTraceparent(given);
  return parent?.sampled === true ? parent : undefined;
}

/** Starts the span of a sent message. */
export function sentSpan(
  tracing: Tracing,
  spine: Pick<Spine, "status">,
  name: "send" | "request",
  { subject, size_bytes, headers, parent }: Sending,
): SentSpan {
  const attributes = {
    "messaging.system": messagingSystem(spine),
    "messaging.operation.name": name,
    "messaging.operation.type": "send",
    "messaging.destination.name": subject,
    "messaging.message.envelope.size": size_bytes,
    ...serverOf(spine),
    ...roomAttributes(subject),
  };
  const kind = name === "send" ? "producer" : "client";
  const span = tracing.start({ name, kind, parent, attributes });
  return { span, headers: { ...headers, [TRACEPARENT]: span.traceparent } };
}

/** Ends the span, as failed if there is an error. */
export function endSent({ span }: SentSpan, error?: unknown): void {
  if (error !== undefined) span.fail(error instanceof ArqonError ? error.reason : "internal");
  span.end();
}

/** Wraps requests in a span each, until the answer. Rejects as `spine.request` does. */
export function tracedRequests(
  spine: Pick<Spine, "request" | "status">,
  tracing: Tracing,
): Pick<Spine, "request"> {
  return {
    request(subject, payload, options) {
      const { headers } = options;
      const parent = recordedIn(headers);
      if (headers === undefined || parent === undefined) {
        return spine.request(subject, payload, options);
      }
      const sending = { subject, size_bytes: payload.length, headers, parent };
      const sent = sentSpan(tracing, spine, "request", sending);
      const answer = spine.request(subject, payload, { ...options, headers: sent.headers });
      answer.then(() => endSent(sent), (error) => endSent(sent, error));
      return answer;
    },
  };
}
