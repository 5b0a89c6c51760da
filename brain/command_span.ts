/**
 * The span of a command that a Brain has taken: below that of the Shield, or of the Brain that has
 * forwarded it. When it ends, and how, is `rooms/commands.ts`.
 */
import type { SpineMessage } from "../shared/spine/spine.ts";
import { parseRoomSubject } from "../shared/subject.ts";
import { parseTraceparent, TRACEPARENT } from "../shared/telemetry/trace_context.ts";
import type { Span, Tracing } from "../shared/telemetry/tracing.ts";

/** Undefined when its trace is not recorded. `subject` is that on which the first Brain took it. */
export function commandSpan(
  tracing: Tracing,
  { headers, payload }: SpineMessage,
  subject: string,
): Span | undefined {
  const parent = parseTraceparent(headers[TRACEPARENT] ?? "");
  if (parent === undefined || !parent.sampled) return undefined;
  const at = parseRoomSubject(subject);
  const attributes = {
    "messaging.system": "arqon",
    "messaging.operation.name": "command",
    "arqon.tenant": at?.tenantId ?? "",
    "arqon.room": at?.roomId ?? "",
    "messaging.message.envelope.size": payload.length,
  };
  return tracing.start({ name: "command", kind: "server", parent, attributes });
}
