/**
 * The span of a message that a Brain has received: of a command, as a child of the Shield's or the forwarding Brain's
 * span, or of a tapped message. The caller ends the span.
 */
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { messagingSystem, recordedIn, roomAttributes } from "../../shared/telemetry/spine_span.ts";
import type { Span, Tracing } from "../../shared/telemetry/tracing.ts";

/** The operations on a message, and the kinds of their spans. */
const KINDS = { command: "server", tap: "consumer" } as const;

/**
 * Starts the span of a message; undefined if its trace is not recorded. `spine` delivered the message; `subject` is
 * that at the first Brain.
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
