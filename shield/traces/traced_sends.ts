/**
 * The spans of a Shield's messages on the Spine: from the hand-over until NATS has confirmed it, or the
 * log has taken it. Without tracing nobody has such a Spine. The way back is `traced_deliveries.ts`.
 */
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { logSubject } from "../../shared/subjects/subject.ts";
import {
  endSent,
  recordedIn,
  sentSpan,
  tracedRequests,
} from "../../shared/telemetry/spine_span.ts";
import type { Tracing } from "../../shared/telemetry/tracing.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import type { MessagePath } from "../message/pipeline.ts";

/** Wraps `spine` so that publishes and requests are traced. `flushes` says when they are confirmed. */
export function tracedSends(
  spine: MessagePath["spine"] & Pick<Spine, "status">,
  flushes: Pick<FlushQueue, "push">,
  tracing: Tracing,
): MessagePath["spine"] {
  return {
    ...tracedRequests(spine, tracing),
    give(subject, payload, headers) {
      const parent = recordedIn(headers);
      if (headers === undefined || parent === undefined) {
        return spine.give(subject, payload, headers);
      }
      const sending = { subject, size_bytes: payload.length, headers, parent };
      const sent = sentSpan(tracing, spine, "send", sending);
      try {
        spine.give(subject, payload, sent.headers);
      } catch (error) {
        endSent(sent, error);
        throw error;
      }
      flushes.push((error) => endSent(sent, error));
    },
  };
}

/** Wraps `logs` so that stored messages are traced; `spine` is the Spine that the logs are on. */
export function tracedLogs(
  logs: MessagePath["logs"],
  spine: Pick<Spine, "status">,
  tracing: Tracing,
): MessagePath["logs"] {
  return {
    append(append) {
      const { tenant_id, room_id, envelope, headers } = append;
      const parent = recordedIn(headers);
      if (headers === undefined || parent === undefined) return logs.append(append);
      const subject = logSubject(tenant_id, room_id);
      const sending = { subject, size_bytes: envelope.length, headers, parent };
      const sent = sentSpan(tracing, spine, "send", sending);
      sent.span.set({ "arqon.tenant": tenant_id, "arqon.room": room_id });
      const stored = logs.append({ ...append, headers: sent.headers });
      stored.then(() => endSent(sent), (error) => endSent(sent, error));
      return stored;
    },
  };
}
