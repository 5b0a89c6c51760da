/**
 * The canonical encoding of snapshots and digests: little-endian, each text and byte array after its length in 32 bits.
 * The same content has the same bytes, and no others decode.
 */
import { Buffer } from "node:buffer";

const WORD = 2 ** 32;
const KEPT_BYTES = 65_536;
/** ASCII texts up to this many bytes are encoded and decoded here: calling the engine costs more. */
const PLAIN_BYTES = 64;
/** Byte arrays up to this length are copied here, for the same reason. */
const COPIED_BYTES = 40;
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes that are not in canonical form; the message says where and why. */
export class CanonicalError extends Error {
  override readonly name = "CanonicalError";
}

/** Encodes values one after the other. */
export class CanonicalWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;

  /** Starts again, over the previous bytes. */
  clear(): this {
    // One large content must not keep its buffer for all later small ones.
    if (this.#bytes.length > KEPT_BYTES) {
      this.#bytes = new Uint8Array(KEPT_BYTES);
      this.#view = new DataView(this.#bytes.buffer);
    }
    this.#size = 0;
    return this;
  }

  /** Reserves space for the next part and returns its start; the parts before it stay. */
  #room(size_bytes: number): number {
    const at = this.#size;
    this.#size += size_bytes;
    if (this.#size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#size, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  /** An unsigned 32-bit integer. Throws RangeError for any other number. */
  u32(number: number): this {
    if ((number >>> 0) !== number) throw new RangeError(`${number} is no whole number of 32 bits`);
    // Reserving space may replace the view.
    const at = this.#room(4);
    this.#view.setUint32(at, number, true);
    return this;
  }

  /** An integer of at most 53 bits, in 64. */
  i64(number: number): this {
    if (!Number.isSafeInteger(number)) throw new RangeError(`${number} has more than 53 bits`);
    const at = this.#room(8);
    const high = Math.floor(number / WORD);
    this.#view.setUint32(at, number - high * WORD, true);
    this.#view.setInt32(at + 4, high, true);
    return this;
  }

  /** Bytes without a length before them. */
  raw(bytes: Uint8Array): this {
    const size = bytes.length;
    const at = this.#room(size);
    const out = this.#bytes;
    if (size > COPIED_BYTES) out.set(bytes, at);
    else for (let index = 0; index < size; index++) out[at + index] = bytes[index]!;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  text(text: string): this {
    if (text.length <= PLAIN_BYTES && this.#plain(text)) return this;
    // Three bytes for each UTF-16 unit are enough for any text; the rest is freed.
    const most = text.length * 3;
    this.u32(0);
    const at = this.#room(most);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(at, at + most));
    this.#view.setUint32(at - 4, written, true);
    this.#size = at + written;
    return this;
  }

  /** Writes an ASCII text; false: it is not ASCII, and nothing is written. */
  #plain(text: string): boolean {
    const size = text.length;
    const at = this.#room(4 + size);
    const out = this.#bytes;
    for (let index = 0; index < size; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) {
        this.#size = at;
        return false;
      }
      out[at + 4 + index] = unit;
    }
    this.#view.setUint32(at, size, true);
    return true;
  }

  /** A text of one-byte characters, such as the keys of values. */
  latin(text: string): this {
    const at = this.u32(text.length).#room(text.length);
    for (let index = 0; index < text.length; index++) {
      this.#bytes[at + index] = text.charCodeAt(index);
    }
    return this;
  }

  /** The encoded bytes; valid until more is written. */
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }
}

/** Decodes what `CanonicalWriter` encoded. Throws `CanonicalError`. */
export class CanonicalReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get at(): number {
    return this.#at;
  }

  #take(size_bytes: number): number {
    const at = this.#at;
    const left = this.#bytes.length - at;
    if (size_bytes > left) {
      throw new CanonicalError(`byte ${at}: ${size_bytes} bytes expected, ${left} left`);
    }
    this.#at += size_bytes;
    return at;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i64(): number {
    const at = this.#take(8);
    const high = this.#view.getInt32(at + 4, true);
    const number = high * WORD + this.#view.getUint32(at, true);
    if (Number.isSafeInteger(number)) return number;
    throw new CanonicalError(`byte ${at}: a number of more than 53 bits`);
  }

  raw(size_bytes: number): Uint8Array {
    return copyOf(this.#bytes, this.#take(size_bytes), size_bytes);
  }

  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  text(): string {
    const at = this.#at;
    const size_bytes = this.u32();
    const from = this.#take(size_bytes);
    const plain = plainText(this.#bytes, from, size_bytes);
    if (plain !== undefined) return plain;
    try {
      return strict.decode(this.#bytes.subarray(from, from + size_bytes));
    } catch (error) {
      if (error instanceof CanonicalError) throw error;
      throw new CanonicalError(`byte ${at}: a text that is not UTF-8`);
    }
  }

  latin(): string {
    return latinOf(this.bytes());
  }
}

/** A copy of a range of bytes. */
export function copyOf(bytes: Uint8Array, from: number, size_bytes: number): Uint8Array {
  if (size_bytes > COPIED_BYTES) return bytes.slice(from, from + size_bytes);
  const copy = new Uint8Array(size_bytes);
  for (let at = 0; at < size_bytes; at++) copy[at] = bytes[from + at]!;
  return copy;
}

/** The text of a short ASCII range; undefined: it is long or not ASCII. */
export function plainText(bytes: Uint8Array, from: number, size_bytes: number): string | undefined {
  if (size_bytes > PLAIN_BYTES) return undefined;
  let text = "";
  for (let at = from; at < from + size_bytes; at++) {
    const byte = bytes[at]!;
    if (byte > 0x7f) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Up to this many bytes are appended one by one; a longer text of so many parts would be joined at its first use. */
const JOINED_BYTES = 8;

/** Bytes as a text with one character for each, which sorts as the bytes do. */
export function latinOf(bytes: Uint8Array): string {
  const { buffer, byteOffset, length } = bytes;
  if (length > JOINED_BYTES) return Buffer.from(buffer, byteOffset, length).toString("latin1");
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
