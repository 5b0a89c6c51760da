/**
 * The one form of numbers, texts and bytes that snapshots and digests are made of: little-endian, every text
 * and every run of bytes behind its length in 32 bits. The same content has the same bytes, and only those.
 */

const WORD = 2 ** 32;
const KEPT_BYTES = 65_536;
/** Texts of at most so many bytes are looked at here: asking the decoder costs more. */
const PLAIN_BYTES = 32;
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes that are no content in canonical form; the message says where and why. */
export class CanonicalError extends Error {
  override readonly name = "CanonicalError";
}

/** Puts content behind content. */
export class CanonicalWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;

  /** Begins anew, where the bytes of before are. */
  clear(): this {
    // One large content must not be kept for all the small ones after it.
    if (this.#bytes.length > KEPT_BYTES) {
      this.#bytes = new Uint8Array(KEPT_BYTES);
      this.#view = new DataView(this.#bytes.buffer);
    }
    this.#size = 0;
    return this;
  }

  /** Where the next part goes; the parts before it are as they were. */
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

  u32(number: number): this {
    // Making room may replace the view.
    const at = this.#room(4);
    this.#view.setUint32(at, number, true);
    return this;
  }

  /** A whole number of at most 53 bits, in 64. */
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
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  text(text: string): this {
    // Three bytes for each unit are enough for any text; what is too much is given back.
    const most = text.length * 3;
    this.u32(0);
    const at = this.#room(most);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(at, at + most));
    this.#view.setUint32(at - 4, written, true);
    this.#size = at + written;
    return this;
  }

  /** A text each of whose characters is one byte, as keys of values are. */
  latin(text: string): this {
    const at = this.u32(text.length).#room(text.length);
    for (let index = 0; index < text.length; index++) {
      this.#bytes[at + index] = text.charCodeAt(index);
    }
    return this;
  }

  /** All of it; valid until more is written. */
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }
}

/** Takes content apart that `CanonicalWriter` has put together. Throws `CanonicalError`. */
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
    const at = this.#take(size_bytes);
    return this.#bytes.slice(at, at + size_bytes);
  }

  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  #part(size_bytes: number): Uint8Array {
    const at = this.#take(size_bytes);
    return this.#bytes.subarray(at, at + size_bytes);
  }

  text(): string {
    const at = this.#at;
    const bytes = this.#part(this.u32());
    const plain = plainText(bytes);
    if (plain !== undefined) return plain;
    try {
      return strict.decode(bytes);
    } catch (error) {
      if (error instanceof CanonicalError) throw error;
      throw new CanonicalError(`byte ${at}: a text that is not UTF-8`);
    }
  }

  latin(): string {
    return latinOf(this.bytes());
  }
}

/** A short text of ASCII; undefined: it is another. */
function plainText(bytes: Uint8Array): string | undefined {
  if (bytes.length > PLAIN_BYTES) return undefined;
  let text = "";
  for (const byte of bytes) {
    if (byte > 0x7f) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Bytes as a text with one character for each, which compares as the bytes do. */
export function latinOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
