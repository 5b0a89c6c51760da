/**
 * The span of a message that a Brain has from others: of a command below that of the Shield, or of the
 * Brain that has forwarded it; of a message that it taps. When it ends, and how, is the caller's.
 */
import type { SpineMessage } from "../shared/spine/spine.ts";
import { parseRoomSubject } from "../shared/subject.ts";
import { parseTraceparent, TRACEPARENT } from "../shared/telemetry/trace_context.ts";
import type { Span, Tracing } from "../shared/telemetry/tracing.ts";

/** What is done with a message, and the kind of its span. */
const KINDS = { command: "server", tap: "consumer" } as const;

/** Undefined when its trace is not recorded. `subject` is that on which the first Brain took it. */
export function messageSpan(
  tracing: Tracing,
  name: keyof typeof KINDS,
  { headers, payload }: Pick<SpineMessage, "headers" | "payload">,
  subject: string,
): Span | undefined {
  const parent = parseTraceparent(headers[TRACEPARENT] ?? "");
  if (parent === undefined || !parent.sampled) return undefined;
  const at = parseRoomSubject(subject);
  const attributes = {
    "messaging.system": "arqon",
    "messaging.operation.name": name,
    "arqon.tenant": at?.tenantId ?? "",
    "arqon.room": at?.roomId ?? "",
    "messaging.message.envelope.size": payload.length,
  };
  return tracing.start({ name, kind: KINDS[name], parent, attributes });
}
