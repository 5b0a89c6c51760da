/**
 * The size of a frame on the wire. Limits and metrics are in bytes, and a string's `length` is not: three bytes of
 * Chinese text are one unit. It encodes nothing.
 */
import { utf8Size } from "@arqon/proto";

/** A frame: bytes on a binary connection, a string on a text connection. */
export type Frame = Uint8Array | string;

/** The last measured long text, and its size: a frame goes to many connections in a row. */
let measured = "";
let measured_bytes = 0;
/** From this length on, measuring takes longer than comparing with the last measured text. */
const LONG = 256;
/** The last measured very long texts: many connections may get several of them each, such as pages of members. */
const longest: { readonly text: string; readonly size_bytes: number }[] = [];
const VERY_LONG = { from: 16_384, to: 1_048_576, kept: 8 };

/** Size of a frame's payload in bytes, without WebSocket's own header. */
export function frameBytes(frame: Frame): number {
  if (typeof frame !== "string") return frame.length;
  if (frame.length < LONG) return utf8Size(frame);
  if (frame !== measured) {
    const { from, to } = VERY_LONG;
    const is_kept = frame.length >= from && frame.length <= to;
    measured_bytes = is_kept ? longBytes(frame) : utf8Size(frame);
    measured = frame;
  }
  return measured_bytes;
}

function longBytes(text: string): number {
  const known = longest.find((one) => one.text === text);
  if (known !== undefined) return known.size_bytes;
  const size_bytes = utf8Size(text);
  longest.push({ text, size_bytes });
  if (longest.length > VERY_LONG.kept) longest.shift();
  return size_bytes;
}
