/**
 * The spans of the Spine itself: of a message with a recorded trace, from its hand-over until it is
 * confirmed or answered. Receivers go on below that span. A message without a recorded trace costs
 * a look at its headers.
 */
import { ArqonError } from "@arqon/proto";
import type { Spine } from "../spine/contract/spine.ts";
import type { SpineHeaders } from "../spine/contract/spine_message.ts";
import { parseRoomSubject } from "../subjects/subject.ts";
import { parseTraceparent, TRACEPARENT } from "./trace_context.ts";
import type { TraceContext } from "./trace_context.ts";
import type { Span, SpanAttributes, Tracing } from "./tracing.ts";

/** Something on its way to the Spine, of a recorded trace. */
export interface Sending {
  readonly subject: string;
  readonly size_bytes: number;
  readonly headers: SpineHeaders;
  readonly parent: TraceContext;
}

/** A span under way, and the headers that say so to receivers. */
export interface SentSpan {
  readonly span: Span;
  readonly headers: SpineHeaders;
}

/** The engine as OpenTelemetry's `messaging.system`; the embedded one is no system of its own. */
export function messagingSystem({ status }: Pick<Spine, "status">): string {
  return status.engine === "nats" ? "nats" : "arqon";
}

/** `server.address` and `server.port` of "host:port version"; nothing for the embedded engine. */
function serverOf({ status }: Pick<Spine, "status">): SpanAttributes {
  const [, host, port] = /^(?:\[([^\]]+)\]|([^: ]+)):(\d+)/.exec(status.server ?? "")
    ?.filter((part) => part !== undefined) ?? [];
  return host === undefined ? {} : { "server.address": host, "server.port": Number(port) };
}

/** Tenant and room of a subject, if it is a room's. */
export function roomAttributes(subject: string): SpanAttributes {
  const at = parseRoomSubject(subject);
  return at === undefined ? {} : { "arqon.tenant": at.tenantId, "arqon.room": at.roomId };
}

/** The recorded trace that the headers go on with; no allocation where there is none. */
export function recordedIn(headers: SpineHeaders | undefined): TraceContext | undefined {
  const given = headers?.[TRACEPARENT];
  const parent = given === undefined ? undefined : parseTraceparent(given);
  return parent?.sampled === true ? parent : undefined;
}

/** Begins the span of something that is sent. */
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

/** Ends the span, as failed when there is an error. */
export function endSent({ span }: SentSpan, error?: unknown): void {
  if (error !== undefined) span.fail(error instanceof ArqonError ? error.reason : "internal");
  span.end();
}

/** Requests with a span each, until the answer. Rejects as `spine.request` does. */
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
