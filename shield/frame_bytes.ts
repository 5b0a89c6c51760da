/**
 * What a frame weighs on the wire. Limits and metrics are in bytes, and a string's `length` is not:
 * three bytes of Chinese text are one unit. Not for encoding: nothing is written here.
 */

/** Bytes on a binary connection, a string on a text one. */
export type Frame = Uint8Array | string;

/** Size of a frame's payload in bytes, without WebSocket's own header. */
export function frameBytes(frame: Frame): number {
  return typeof frame === "string" ? utf8Bytes(frame) : frame.length;
}

/** UTF-8 length without encoding. A lone surrogate, which no frame can hold, counts as two bytes. */
function utf8Bytes(text: string): number {
  let size_bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    // A surrogate pair is 4 bytes in two units, so each half counts one more.
    if (unit > 0x7f) size_bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return size_bytes;
}
