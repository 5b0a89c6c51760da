/**
 * The head of a WebSocket frame (RFC 6455, 5.2) and what a close frame may carry (7.4), as a server
 * writes and checks them. Pure; reading frames is `frame_reader.ts`.
 */

/** The opcodes of frames. */
export const CONTINUATION = 0x0, TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xa;

/** The longest body of a control frame. */
export const CONTROL_BYTES_MAX = 125;
const FIN = 0x80;
/** The first reserved bit: the message is compressed (RFC 7692, 6). */
const RSV1 = 0x40;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** Bytes of the head of a frame that a server sends with a body of so many bytes. */
function headBytes(body_bytes: number): number {
  return body_bytes < LENGTH_16 ? 2 : body_bytes <= 0xffff ? 4 : 10;
}

/** Writes the head of a whole, unmasked frame to `target`, from its beginning; returns its bytes. */
function writeHead(
  target: Uint8Array,
  opcode: number,
  body_bytes: number,
  compressed = false,
): number {
  target[0] = FIN | (compressed ? RSV1 : 0) | opcode;
  if (body_bytes < LENGTH_16) {
    target[1] = body_bytes;
    return 2;
  }
  if (body_bytes <= 0xffff) {
    target[1] = LENGTH_16;
    target[2] = body_bytes >>> 8;
    target[3] = body_bytes;
    return 4;
  }
  target[1] = LENGTH_64;
  // A buffer has fewer than 2^53 bytes, so the upper half is what a division leaves.
  const upper = Math.floor(body_bytes / 2 ** 32);
  for (let at = 0; at < 4; at++) {
    target[2 + at] = upper >>> (24 - 8 * at);
    target[6 + at] = body_bytes >>> (24 - 8 * at);
  }
  return 10;
}

/** A whole, unmasked frame. */
export function encodeFrame(
  opcode: number,
  body: Uint8Array,
  compressed = false,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(headBytes(body.length) + body.length);
  frame.set(body, writeHead(frame, opcode, body.length, compressed));
  return frame;
}

/** Encodes a close frame. A reason that is too long is cut at a character. */
export function encodeClose(code: number, reason: string): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(CONTROL_BYTES_MAX);
  body[0] = code >>> 8;
  body[1] = code;
  // Only whole characters are left out.
  const { written } = new TextEncoder().encodeInto(reason, body.subarray(2));
  return encodeFrame(CLOSE, body.subarray(0, 2 + written));
}

/** Whether an endpoint may send this code (RFC 6455, 7.4, and the registry of close codes). */
export function isCloseCode(code: number): boolean {
  if (code >= 3_000) return code <= 4_999;
  return code >= 1_000 && code <= 1_014 && code !== 1_004 && code !== 1_005 && code !== 1_006;
}
