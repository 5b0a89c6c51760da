/**
 * The spans of deliveries: a Spine that records what its subscribers do with a message of a recorded
 * trace. For fan-out only; the way in is `traces.ts`. Without tracing nobody has such a Spine.
 */
import type { Spine, SpineMessage } from "../../shared/spine/contract/spine.ts";
import { messagingSystem, recordedIn, roomAttributes } from "../../shared/telemetry/spine_span.ts";
import type { Tracing } from "../../shared/telemetry/tracing.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** The part of a Spine that fan-out needs. */
export type HeardSpine = Pick<Spine, "subscribe" | "onEvent">;

/** The counters from which the number of receivers of a message follows. */
export type Receivers = Pick<ShieldStats, "egress_messages" | "egress_events">;

/** Wraps `spine` so that its handlers are traced. `stats` tells how many receivers a message had. */
export function tracedDeliveries(
  spine: HeardSpine & Pick<Spine, "status">,
  tracing: Tracing,
  stats: Receivers,
): HeardSpine {
  const handedOver = () => stats.egress_messages + stats.egress_events;
  const deliver = (message: SpineMessage, handler: (message: SpineMessage) => void): void => {
    const parent = recordedIn(message.headers);
    if (parent === undefined) return handler(message);
    const before = handedOver();
    const span = tracing.start({
      name: "deliver",
      kind: "consumer",
      parent,
      attributes: {
        "messaging.system": messagingSystem(spine),
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": message.subject,
        ...roomAttributes(message.subject),
        "messaging.message.envelope.size": message.payload.length,
      },
    });
    try {
      handler(message);
    } finally {
      span.set({ "arqon.receivers": handedOver() - before });
      span.end();
    }
  };
  return {
    onEvent: (listener) => spine.onEvent(listener),
    subscribe: (pattern, handler, options) =>
      spine.subscribe(pattern, (message) => deliver(message, handler), options),
  };
}
