/**
 * Identifiers: UUIDv7 (RFC 9562), W3C trace ids and connection ids, from a clock and a source of
 * random bytes that the caller hands in. Pure apart from the pool's own buffer; not for room or
 * tenant ids (`@arqon/proto`).
 */

/** Returns `size_bytes` fresh random bytes. The view may be overwritten by the next call. */
export type Random = (size_bytes: number) => Uint8Array;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const POOL_BYTES = 8_192;

/**
 * A source that draws many ids from one fill, so that the message path makes no system call each.
 * `fill` is `(bytes) => crypto.getRandomValues(bytes)` in servers. Throws RangeError for a request
 * larger than the pool.
 */
export function randomPool(
  fill: (bytes: Uint8Array<ArrayBuffer>) => void,
  pool_bytes = POOL_BYTES,
): Random {
  const pool = new Uint8Array(pool_bytes);
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
    return pool.subarray(used - size_bytes, used);
  };
}

function hex(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let index = start; index < end; index++) text += HEX[bytes[index] ?? 0];
  return text;
}

function draw(random: Uint8Array | Random, size_bytes: number): Uint8Array {
  const bytes = typeof random === "function" ? random(size_bytes) : random;
  if (bytes.length < size_bytes) {
    throw new RangeError(`expected ${size_bytes} random bytes, got ${bytes.length}`);
  }
  return bytes;
}

/**
 * A UUIDv7 in lower case: 48 bits of Unix ms, then 74 random bits (RFC 9562, 5.7). Takes 16 random
 * bytes; throws RangeError when there are fewer, or when the time does not fit 48 bits.
 */
export function uuidv7(now_ms: number, random: Uint8Array | Random): string {
  if (!(now_ms >= 0 && now_ms < 2 ** 48)) throw new RangeError(`not a Unix time in ms: ${now_ms}`);
  const bytes = draw(random, 16);
  const ms = Math.floor(now_ms);
  const high = Math.floor(ms / 65_536);
  return HEX[high >>> 24]! + HEX[(high >>> 16) & 255]! + HEX[(high >>> 8) & 255]! +
    HEX[high & 255]! + "-" + HEX[(ms >>> 8) & 255]! + HEX[ms & 255]! + "-" +
    HEX[0x70 | (bytes[6]! & 0x0f)]! + HEX[bytes[7]!]! + "-" +
    HEX[0x80 | (bytes[8]! & 0x3f)]! + HEX[bytes[9]!]! + "-" + hex(bytes, 10, 16);
}

/** A W3C trace-id: 32 lowercase hex digits, never all zero. Takes 16 random bytes. */
export function traceId(random: Uint8Array | Random): string {
  const text = hex(draw(random, 16), 0, 16);
  return text === "00000000000000000000000000000000" ? "00000000000000000000000000000001" : text;
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
