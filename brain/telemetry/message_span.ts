/**
 * The span of a message that a Brain has received: of a command, below the span of the Shield or of
 * the Brain that forwarded it, or of a message that the tap sees. When the span ends, and how, is
 * the caller's.
 */
import type { Spine, SpineMessage } from "../../shared/spine/contract/spine.ts";
import { messagingSystem, recordedIn, roomAttributes } from "../../shared/telemetry/spine_span.ts";
import type { Span, Tracing } from "../../shared/telemetry/tracing.ts";

/** What is done with a message, and the kind of its span. */
const KINDS = { command: "server", tap: "consumer" } as const;

/**
 * Begins the span of a message; undefined when its trace is not recorded. `spine` brought the
 * message; `subject` is the one on which the first Brain took it.
 */
export function messageSpan(
  tracing: Tracing,
  spine: Pick<Spine, "status">,
  name: keyof typeof KINDS,
  { headers, payload }: Pick<SpineMessage, "headers" | "payload">,
  subject: string,
): Span | undefined {
  const parent = recordedIn(headers);
  if (parent === undefined) return undefined;
  const attributes = {
    "messaging.system": messagingSystem(spine),
    "messaging.operation.name": name,
    "messaging.operation.type": "process",
    "messaging.destination.name": subject,
    ...roomAttributes(subject),
    "messaging.message.envelope.size": payload.length,
  };
  return tracing.start({ name, kind: KINDS[name], parent, attributes });
}
