/**
 * The Brain's tap on everything clients publish: one log line per sampled message, never a payload.
 * Only looks; the message path does not depend on it.
 */
import { readEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import type { Logger } from "../shared/log.ts";
import type { Spine, SpineMessage } from "../shared/spine/spine.ts";
import { parseRoomSubject } from "../shared/subject.ts";
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

const utf8 = new TextEncoder();
const TRACE_ID_BYTES = 32;
/** Field 1 (trace_id), length-delimited, 32 bytes: how every envelope from a Shield begins. */
const TRACE_ID_FIELD = [0x0a, TRACE_ID_BYTES] as const;

/**
 * 32 bits of FNV-1a over the ASCII of a trace id, mixed once more: clients may count their trace
 * ids up, and FNV alone leaves neighbours near each other.
 */
function hash(trace_id: Uint8Array): number {
  let bits = 0x811c9dc5;
  for (const byte of trace_id) bits = Math.imul(bits ^ byte, 0x01000193);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/**
 * Whether the messages of a trace are logged. The same on every Brain, so a trace is logged whole
 * or not at all, and what a smaller fraction takes a larger one takes too.
 */
export function isSampled(trace_id: Uint8Array, fraction: number): boolean {
  return hash(trace_id) < fraction * 2 ** 32;
}

/** The trace id, from the leading bytes where they hold it. Throws DecodeError. */
function traceIdOf(payload: Uint8Array): Uint8Array {
  const [tag, length] = TRACE_ID_FIELD;
  const end = 2 + TRACE_ID_BYTES;
  const leads = payload[0] === tag && payload[1] === length && payload.length >= end;
  return leads ? payload.subarray(2, end) : utf8.encode(readEnvelope(payload).trace_id);
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

/** The handler for `in.t.>`; it only reads. Never throws: what it cannot read it counts. */
export function createTap(options: TapOptions): (message: SpineMessage) => void {
  const { fraction, metrics, tracing, spine } = options;
  const log = options.log.child({ module: "tap" });
  const outcomeOf = (message: SpineMessage): TapOutcome => {
    if (message.headers["x-arqon-shadow"] !== undefined) return "shadow";
    try {
      // Most messages are not logged: they must cost a hash, not a decoding.
      if (!isSampled(traceIdOf(message.payload), fraction)) return "unsampled";
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
