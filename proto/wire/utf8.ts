/**
 * Strict conversion between text and UTF-8: invalid UTF-8 is a `DecodeError`, a byte order mark is kept. Short ASCII,
 * as in nearly all routing fields, bypasses TextDecoder.
 */
import { DecodeError } from "../errors/error.ts";
import { SHORT_TEXT_BYTES } from "./wire_numbers.ts";

/** A scratch array for each short length. */
const CODES: readonly number[][] = /* @__PURE__ */ Array.from(
  { length: SHORT_TEXT_BYTES + 1 },
  (_, size) => new Array<number>(size).fill(0),
);

const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = /* @__PURE__ */ new TextEncoder();

function decodeLong(bytes: Uint8Array, start: number, end: number): string {
  try {
    return strictText(bytes.subarray(start, end));
  } catch {
    throw new DecodeError("malformed-frame", `invalid UTF-8 in bytes ${start} to ${end}`);
  }
}

/** The text in `bytes[start..end)`. Throws `malformed-frame` if it is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  const codes = CODES[end - start];
  if (codes === undefined) return decodeLong(bytes, start, end);
  let all = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    codes[at - start] = byte;
    all |= byte;
  }
  // One call makes a flat string; a concatenated string keeps all its pieces in memory.
  return all > 0x7f ? decodeLong(bytes, start, end) : String.fromCharCode.apply(null, codes);
}

/** The size of the cache of names, which is indexed by hash; a power of two. */
const NAMES = 16_384;
const names: string[] = /* @__PURE__ */ Array.from({ length: NAMES }, () => "");

function isAscii(text: string, bytes: Uint8Array, start: number): boolean {
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) !== bytes[start + at]) return false;
  }
  return true;
}

/**
 * As `decodeUtf8`, for frequent text: returns the same string object, unless another name has replaced it. That avoids
 * an allocation, and the comparison of characters in map lookups.
 */
export function decodeName(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > SHORT_TEXT_BYTES) return decodeUtf8(bytes, start, end);
  let hash = end - start;
  for (let at = start; at < end; at++) hash = Math.imul(hash, 31) + bytes[at]! | 0;
  const place = (hash ^ (hash >>> 15)) & (NAMES - 1);
  const known = names[place]!;
  if (known.length === end - start && isAscii(known, bytes, start)) return known;
  const text = decodeUtf8(bytes, start, end);
  // Only ASCII has as many characters as bytes, so only ASCII can be compared byte by byte.
  if (text.length === end - start) names[place] = text;
  return text;
}

/** Throws `malformed-frame` unless `bytes[start..end)` is UTF-8. Creates no string for ASCII. */
export function checkUtf8(bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end; at++) {
    if (bytes[at]! > 0x7f) {
      decodeLong(bytes, at, end);
      return;
    }
  }
}

/** The text of UTF-8 bytes. Throws TypeError for other bytes. */
export function strictText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The text of bytes; `undefined` if they are not UTF-8. */
export function utf8OrUndefined(bytes: Uint8Array): string | undefined {
  try {
    return decodeUtf8(bytes, 0, bytes.length);
  } catch {
    return undefined;
  }
}

/**
 * The bytes of a text, empty for undefined; a lone surrogate becomes U+FFFD. Hot paths use `putUtf8`, which creates no
 * array.
 */
export function encodeUtf8(text?: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** The size of `text` in UTF-8; a lone surrogate counts as U+FFFD. */
export function utf8Size(text: string): number {
  let size = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      size += 1;
    } else if (unit >= 0xd800 && unit <= 0xdbff && isLowSurrogate(text, at + 1)) {
      size += 2;
      at++;
    } else {
      size += 2;
    }
  }
  return size;
}

function isLowSurrogate(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** Writes `text` of `size` bytes (`utf8Size`), and returns the position after it. */
export function putUtf8(out: Uint8Array, at: number, text: string, size: number): number {
  if (size === text.length && size <= SHORT_TEXT_BYTES) {
    for (let index = 0; index < size; index++) out[at + index] = text.charCodeAt(index);
  } else {
    encoder.encodeInto(text, out.subarray(at, at + size));
  }
  return at + size;
}
