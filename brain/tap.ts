/**
 * The Brain's tap: one log line for each message that a Shield has handed to it, never a payload. Only
 * looks; the message path does not depend on it. What is handed on is for `shield/tap.ts` to say.
 */
import { readEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import type { Logger } from "../shared/log.ts";
import type { Spine, SpineMessage } from "../shared/spine/spine.ts";
import { parseRoomSubject } from "../shared/subject.ts";
import { isTapped, traceIdOf } from "../shared/tap_sample.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";
import { messageSpan } from "./message_span.ts";
import type { BrainMetrics, TapOutcome } from "./metrics.ts";

/** What the tap needs. */
export interface TapOptions {
  /** Fraction of traces that are logged, in [0, 1]. */
  readonly fraction: number;
  readonly log: Logger;
  readonly metrics: BrainMetrics;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** What brings the messages. */
  readonly spine: Pick<Spine, "status">;
}

function typeOf(envelope: PlainEnvelope): string {
  if (envelope.event !== undefined) return envelope.event.type;
  if (envelope.command !== undefined) return `command:${envelope.command.name}`;
  return `signal:${envelope.signal?.kind ?? "UNSPECIFIED"}`;
}

function logMessage(message: SpineMessage, log: Logger): void {
  const envelope = readEnvelope(message.payload);
  const at = parseRoomSubject(message.subject);
  log.info("message", {
    tenant_id: at?.tenantId,
    room: at?.roomId,
    type: typeOf(envelope),
    trace_id: envelope.trace_id,
    bytes: message.payload.length,
  });
}

/** The handler for `tap.t.>`; it only reads. Never throws: what it cannot read it counts. */
export function createTap(options: TapOptions): (message: SpineMessage) => void {
  const { fraction, metrics, tracing, spine } = options;
  const log = options.log.child({ module: "tap" });
  const outcomeOf = (message: SpineMessage): TapOutcome => {
    if (message.headers["x-arqon-shadow"] !== undefined) return "shadow";
    try {
      // Handed on for its recorded trace, or by a Shield whose fraction is larger.
      if (!isTapped(traceIdOf(message.payload), fraction)) return "unsampled";
      logMessage(message, log);
      return "logged";
    } catch {
      return "undecodable";
    }
  };
  return (message) => {
    if (tracing !== undefined) messageSpan(tracing, spine, "tap", message, message.subject)?.end();
    metrics.tapped[outcomeOf(message)]++;
  };
}
