/** Continues the trace of an HTTP request in its message. `traces.ts` decides what is traced. */
import type { ScannedEnvelope } from "@arqon/proto";
import { parseTraceparent, TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { clientTraceId } from "../../shared/telemetry/trace_parent.ts";

/** Gives the message the request's `traceparent`, unless it has its own trace. */
export function inRequestTrace(
  { traces }: Pick<MessagePath, "traces">,
  envelope: ScannedEnvelope,
  headers: Headers,
): ScannedEnvelope {
  const context = parseTraceparent(headers.get(TRACEPARENT) ?? "");
  if (context === undefined || envelope.trace_id !== "") return envelope;
  if (clientTraceId(envelope) !== undefined) return envelope;
  const placed = { ...envelope, trace_id: context.trace_id };
  traces?.place(placed, context);
  return placed;
}
