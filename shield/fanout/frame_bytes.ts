/**
 * The size of a frame on the wire. Limits and metrics are in bytes, and a string's `length` is not: three bytes of
 * Chinese text are one unit. It encodes nothing.
 */
import { utf8Size } from "@arqon/proto";

/** A frame: bytes on a binary connection, a string on a text connection. */
export type Frame = Uint8Array | string;

/** A long text that was measured last, and its size: a frame goes to many connections, one after the other. */
let measured = "";
let measured_bytes = 0;
/** From so many characters on measuring takes longer than a look at what was measured last. */
const LONG = 256;

/** Size of a frame's payload in bytes, without WebSocket's own header. */
export function frameBytes(frame: Frame): number {
  if (typeof frame !== "string") return frame.length;
  if (frame.length < LONG) return utf8Size(frame);
  if (frame !== measured) {
    measured_bytes = utf8Size(frame);
    measured = frame;
  }
  return measured_bytes;
}
