/**
 * Decides which messages the tap copies: the same on every Shield and Brain, by trace id. Pure. `shield/tap/`
 * sends them, `brain/tap/` logs them.
 */
import { readEnvelope } from "@arqon/proto";
import { fnvBytes, mixBits } from "../fnv.ts";

const utf8 = new TextEncoder();
const TRACE_ID_BYTES = 32;
/** Field 1 (trace_id), length-delimited, 32 bytes: the start of every envelope from a Shield. */
const TRACE_ID_FIELD = [0x0a, TRACE_ID_BYTES] as const;

/**
 * 32-bit FNV-1a over the ASCII of a trace id, mixed again: clients may number their trace ids, and FNV alone keeps
 * neighbours close.
 */
function hash(trace_id: Uint8Array, start?: number, end?: number): number {
  return mixBits(fnvBytes(trace_id, start, end));
}

/**
 * Whether a trace is tapped: all of its messages or none. A larger fraction (0 to 1) includes everything of a smaller
 * one.
 */
export function isTapped(trace_id: Uint8Array, fraction: number): boolean {
  return hash(trace_id) < fraction * 2 ** 32;
}

/** Whether an envelope's trace is tapped; the leading bytes of most have it. Throws DecodeError. */
export function isEnvelopeTapped(envelope: Uint8Array, fraction: number): boolean {
  const [tag, length] = TRACE_ID_FIELD;
  const end = 2 + TRACE_ID_BYTES;
  const leads = envelope[0] === tag && envelope[1] === length && envelope.length >= end;
  if (!leads) return isTapped(utf8.encode(readEnvelope(envelope).trace_id), fraction);
  return hash(envelope, 2, end) < fraction * 2 ** 32;
}
