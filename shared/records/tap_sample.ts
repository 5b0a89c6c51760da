/**
 * Decides which messages the tap takes: the same on every Shield and Brain, by the message's trace.
 * Pure. `shield/message/tap.ts` hands them on, `brain/tap.ts` logs them.
 */
import { readEnvelope } from "@arqon/proto";
import { fnvBytes, mixBits } from "../fnv.ts";

const utf8 = new TextEncoder();
const TRACE_ID_BYTES = 32;
/** Field 1 (trace_id), length-delimited, 32 bytes: how every envelope from a Shield begins. */
const TRACE_ID_FIELD = [0x0a, TRACE_ID_BYTES] as const;

/**
 * 32 bits of FNV-1a over the ASCII of a trace id, mixed again: clients may count their trace
 * ids up, and FNV alone leaves neighbours near each other.
 */
function hash(trace_id: Uint8Array, start?: number, end?: number): number {
  return mixBits(fnvBytes(trace_id, start, end));
}

/**
 * Whether the messages of a trace are tapped: all of them or none, and what a smaller fraction (0 to 1)
 * takes a larger one takes too.
 */
export function isTapped(trace_id: Uint8Array, fraction: number): boolean {
  return hash(trace_id) < fraction * 2 ** 32;
}

/** Whether an envelope's trace is tapped; it is in the leading bytes of most. Throws DecodeError. */
export function isEnvelopeTapped(envelope: Uint8Array, fraction: number): boolean {
  const [tag, length] = TRACE_ID_FIELD;
  const end = 2 + TRACE_ID_BYTES;
  const leads = envelope[0] === tag && envelope[1] === length && envelope.length >= end;
  if (!leads) return isTapped(utf8.encode(readEnvelope(envelope).trace_id), fraction);
  return hash(envelope, 2, end) < fraction * 2 ** 32;
}
