/**
 * Creates UUIDv7 (RFC 9562), W3C trace ids and connection ids from the caller's clock and random bytes. Pure except for
 * the pool's buffer; `@arqon/proto` has room and tenant ids.
 */

/** Returns `size_bytes` fresh random bytes. The view may be overwritten by the next call. */
export type Random = (size_bytes: number) => Uint8Array;

const POOL_BYTES = 8_192;
/** Up to this many random bytes are copied, which is faster than a view of the pool. */
const COPIED_BYTES = 32;

/**
 * A source that fills its pool once for many ids, so that the message path makes no system call for each. `fill` is
 * `(bytes) => crypto.getRandomValues(bytes)` in servers. Throws RangeError for a request larger than the pool.
 */
export function randomPool(
  fill: (bytes: Uint8Array<ArrayBuffer>) => void,
  pool_bytes = POOL_BYTES,
): Random {
  const pool = new Uint8Array(pool_bytes);
  const copies = Array.from({ length: COPIED_BYTES + 1 }, (_, size) => new Uint8Array(size));
  let used = pool_bytes;
  return (size_bytes) => {
    if (size_bytes > pool_bytes) {
      throw new RangeError(`${size_bytes} random bytes asked of a pool of ${pool_bytes}`);
    }
    if (used + size_bytes > pool_bytes) {
      fill(pool);
      used = 0;
    }
    used += size_bytes;
    const copy = copies[size_bytes];
    if (copy === undefined) return pool.subarray(used - size_bytes, used);
    for (let at = 0, from = used - size_bytes; at < size_bytes; at++) copy[at] = pool[from + at]!;
    return copy;
  };
}

function draw(random: Uint8Array | Random, size_bytes: number): Uint8Array {
  const bytes = typeof random === "function" ? random(size_bytes) : random;
  if (bytes.length < size_bytes) {
    throw new RangeError(`expected ${size_bytes} random bytes, got ${bytes.length}`);
  }
  return bytes;
}

/** The ASCII codes of the hex digits. */
const DIGITS = new TextEncoder().encode("0123456789abcdef");
const DASH = 0x2d;
/** Length of a `uuidv7` in ASCII. */
export const UUID_BYTES = 36;
/** Length of a `traceId` in ASCII. */
export const TRACE_ID_BYTES = 32;

function putHex(out: Uint8Array, at: number, byte: number): number {
  out[at] = DIGITS[byte >>> 4]!;
  out[at + 1] = DIGITS[byte & 15]!;
  return at + 2;
}

/**
 * Writes a `uuidv7` into the first 36 bytes of `out` as ASCII, without creating a string, for the message path.
 * Arguments and errors as there.
 */
export function putUuidv7(out: Uint8Array, now_ms: number, random: Uint8Array | Random): void {
  const ms = unixMs(now_ms);
  const bytes = draw(random, 16);
  const high = Math.floor(ms / 65_536);
  let at = putHex(out, 0, high >>> 24);
  at = putHex(out, at, (high >>> 16) & 255);
  at = putHex(out, at, (high >>> 8) & 255);
  at = putHex(out, at, high & 255);
  out[at++] = DASH;
  at = putHex(out, at, (ms >>> 8) & 255);
  at = putHex(out, at, ms & 255);
  out[at++] = DASH;
  at = putHex(out, at, 0x70 | (bytes[6]! & 0x0f));
  at = putHex(out, at, bytes[7]!);
  out[at++] = DASH;
  at = putHex(out, at, 0x80 | (bytes[8]! & 0x3f));
  at = putHex(out, at, bytes[9]!);
  out[at++] = DASH;
  for (let index = 10; index < 16; index++) at = putHex(out, at, bytes[index]!);
}

/** Writes a `traceId` into the first 32 bytes of `out` as ASCII, in the same way. */
export function putTraceId(out: Uint8Array, random: Uint8Array | Random): void {
  const bytes = draw(random, 16);
  let all = 0;
  for (let index = 0; index < 16; index++) {
    putHex(out, index * 2, bytes[index]!);
    all |= bytes[index]!;
  }
  if (all === 0) putHex(out, 30, 1);
}

function unixMs(now_ms: number): number {
  if (!(now_ms >= 0 && now_ms < 2 ** 48)) throw new RangeError(`not a Unix time in ms: ${now_ms}`);
  return Math.floor(now_ms);
}

const text = new Uint8Array(UUID_BYTES);

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The lowest byte of a number in hex; its fraction is ignored. */
const hexOf = (number: number): string => HEX[number & 255]!;

function textOf(size: number): string {
  return String.fromCharCode(...text.subarray(0, size));
}

/**
 * A UUIDv7 in lower case: 48 bits of Unix ms, then 74 random bits (RFC 9562, 5.7). Needs 16 random bytes; throws
 * RangeError if there are fewer, or if the time needs more than 48 bits.
 */
export function uuidv7(now_ms: number, random: Uint8Array | Random): string {
  const ms = unixMs(now_ms);
  const bytes = draw(random, 16);
  const time = hexOf(ms / 2 ** 40) + hexOf(ms / 2 ** 32) + hexOf(ms >>> 24) + hexOf(ms >>> 16);
  const rest = hexOf(ms >>> 8) + hexOf(ms);
  const third = hexOf(0x70 | (bytes[6]! & 0x0f)) + hexOf(bytes[7]!);
  const fourth = hexOf(0x80 | (bytes[8]! & 0x3f)) + hexOf(bytes[9]!);
  let last = "";
  for (let index = 10; index < 16; index++) last += hexOf(bytes[index]!);
  return `${time}-${rest}-${third}-${fourth}-${last}`;
}

/** A W3C trace-id: 32 lowercase hex digits, never all zero. Takes 16 random bytes. */
export function traceId(random: Uint8Array | Random): string {
  putTraceId(text, random);
  return textOf(TRACE_ID_BYTES);
}

/**
 * A connection id: `c` and 22 base64url characters (128 random bits). It is a valid room or tenant
 * id, so it can be a subject token. Takes 16 random bytes.
 */
export function connectionId(random: Uint8Array | Random): string {
  const bytes = draw(random, 16).subarray(0, 16);
  return "c" + btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_")
    .slice(0, 22);
}

/** A whole number from 0 to 2³² − 1. Takes 4 random bytes. */
export function randomUint32(random: Random): number {
  const bytes = random(4);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
}

/** A number in [0, 1), in steps of 2⁻³². Takes 4 random bytes. */
export const randomFraction = (random: Random): number => randomUint32(random) / 2 ** 32;

/** Random bytes from a source of numbers; ids from them are no secrets. */
export function bytesFrom(random: () => number): Random {
  return (size_bytes) => Uint8Array.from({ length: size_bytes }, () => Math.floor(random() * 256));
}
