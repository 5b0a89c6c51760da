/**
 * The head of a WebSocket frame (RFC 6455, 5.2) and the content of a close frame (7.4), for a server. Pure;
 * `frame_reader.ts` reads frames.
 */

export const CONTINUATION = 0x0, TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xa;

/** The longest body of a control frame. */
export const CONTROL_BYTES_MAX = 125;
const FIN = 0x80;
const MASKED = 0x80;
/** The first reserved bit: the message is compressed (RFC 7692, 6). */
const RSV1 = 0x40;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const HEAD_BYTES_MAX = 10;

/** Bytes of the head of a server's frame with a body of that length. */
export function headBytes(body_bytes: number): number {
  return body_bytes < LENGTH_16 ? 2 : body_bytes <= 0xffff ? 4 : 10;
}

/** Writes the head of a whole, unmasked frame to `target`, from `start`; returns its bytes. */
export function writeHead(
  target: Uint8Array,
  start: number,
  opcode: number,
  body_bytes: number,
  compressed = false,
): number {
  target[start] = FIN | (compressed ? RSV1 : 0) | opcode;
  if (body_bytes < LENGTH_16) {
    target[start + 1] = body_bytes;
    return 2;
  }
  if (body_bytes <= 0xffff) {
    target[start + 1] = LENGTH_16;
    target[start + 2] = body_bytes >>> 8;
    target[start + 3] = body_bytes;
    return 4;
  }
  target[start + 1] = LENGTH_64;
  // A buffer has fewer than 2^53 bytes, so a division yields the upper half.
  const upper = Math.floor(body_bytes / 2 ** 32);
  for (let at = 0; at < 4; at++) {
    target[start + 2 + at] = upper >>> (24 - 8 * at);
    target[start + 6 + at] = body_bytes >>> (24 - 8 * at);
  }
  return 10;
}

const head = new Uint8Array(HEAD_BYTES_MAX);

/**
 * A whole, unmasked frame. It is no copy if its head already precedes the body, as in buffers of `frame_space.ts`,
 * which must no longer change.
 */
export function frameAround(opcode: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = body;
  const head_bytes = headBytes(length);
  if (byteOffset < head_bytes || !(buffer instanceof ArrayBuffer)) return encodeFrame(opcode, body);
  const frame = new Uint8Array(buffer, byteOffset - head_bytes, head_bytes + length);
  writeHead(head, 0, opcode, length);
  for (let at = 0; at < head_bytes; at++) {
    if (frame[at] !== head[at]) return encodeFrame(opcode, body);
  }
  return frame;
}

/** A whole, unmasked frame. */
export function encodeFrame(
  opcode: number,
  body: Uint8Array,
  compressed = false,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(headBytes(body.length) + body.length);
  frame.set(body, writeHead(frame, 0, opcode, body.length, compressed));
  return frame;
}

/** Encodes a close frame. A reason that is too long is cut at a character. */
export function encodeClose(code: number, reason: string): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(CONTROL_BYTES_MAX);
  body[0] = code >>> 8;
  body[1] = code;
  // The reason is cut between characters.
  const { written } = new TextEncoder().encodeInto(reason, body.subarray(2));
  return encodeFrame(CLOSE, body.subarray(0, 2 + written));
}

/** Whether an endpoint may send this code (RFC 6455, 7.4, and the registry of close codes). */
export function isCloseCode(code: number): boolean {
  if (code >= 3_000) return code <= 4_999;
  return code >= 1_000 && code <= 1_014 && code !== 1_004 && code !== 1_005 && code !== 1_006;
}

/** Bytes of a head with this second byte; a head without a mask is refused later. */
export function lengthOfHead(second: number): number {
  if ((second & MASKED) === 0) return 2;
  const short = second & 0x7f;
  return 6 + (short === 126 ? 2 : short === 127 ? 8 : 0);
}

/** The word in network order. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 24 | (bytes[at + 1] as number) << 16 |
    (bytes[at + 2] as number) << 8 | (bytes[at + 3] as number)) >>> 0;
}
