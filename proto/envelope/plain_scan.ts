/** Converts a scanned envelope to a plain one, outside the message path. Pure. */
import { type PlainEnvelope, readEnvelope } from "./envelope.ts";
import type { ScannedEnvelope } from "./scan.ts";

/** The bytes of a scanned envelope, unchanged and not copied. */
export function scannedBytes({ bytes, size_bytes }: ScannedEnvelope): Uint8Array {
  return bytes.subarray(bytes.length - size_bytes, bytes.length);
}

/** The whole scanned envelope, with the values that were set after the scan. */
export function plainEnvelope(scan: ScannedEnvelope): PlainEnvelope {
  const { trace_id, tenant_id, room_id, message_id, request_id, ack_requested } = scan;
  const set = { trace_id, tenant_id, room_id, message_id, request_id, ack_requested };
  return { ...readEnvelope(scannedBytes(scan)), ...set };
}
