/**
 * The size of a frame on the wire. Limits and metrics are in bytes, and a string's `length` is not: three bytes of
 * Chinese text are one unit. It encodes nothing.
 */
import { utf8Size } from "@arqon/proto";

/** A frame: bytes on a binary connection, a string on a text connection. */
export type Frame = Uint8Array | string;

/** Size of a frame's payload in bytes, without WebSocket's own header. */
export function frameBytes(frame: Frame): number {
  return typeof frame === "string" ? utf8Size(frame) : frame.length;
}
