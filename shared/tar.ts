/**
 * Tar archives (POSIX ustar) of regular files, written and read piece by piece. It can read its own archives, and those
 * of any tar with plain files and short names; it refuses links, devices and extended headers.
 */

/** One file of an archive as it is read. */
export interface TarEntry {
  /** Relative, with `/` between its parts, none of which is `..`. */
  readonly path: string;
  readonly size_bytes: number;
  /** The file's bytes; unread ones are skipped when the next entry is requested. */
  readonly bytes: AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** The archive is invalid, truncated, or has unsupported entries. */
export class TarError extends Error {
  override readonly name = "TarError";
}

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const SIZE_AT = 124;
const SUM_AT = 148;
/** The largest size that fits into octal digits; above, it is written in base 256. */
const OCTAL_MAX = 8 ** 11 - 1;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The name's two header fields. Throws RangeError if it does not fit. */
function splitName(path: string): readonly [prefix: Uint8Array, name: Uint8Array] {
  const whole = encoder.encode(path);
  if (whole.length <= NAME_BYTES) return [new Uint8Array(), whole];
  for (let at = whole.length - NAME_BYTES - 1; at < whole.length && at <= PREFIX_BYTES; at++) {
    if (at > 0 && whole[at] === 0x2f) return [whole.subarray(0, at), whole.subarray(at + 1)];
  }
  throw new RangeError(`the path is too long for an archive: ${path}`);
}

/** A number as octal digits. Throws RangeError if it does not fit. */
function octal(number: number, digits: number): string {
  const text = number.toString(8);
  if (/^[0-7]+$/.test(text) && text.length <= digits) return text.padStart(digits, "0");
  throw new RangeError(`${number} is no number of at most ${digits} octal digits`);
}

function putSize(header: Uint8Array, size_bytes: number): void {
  if (size_bytes <= OCTAL_MAX || !Number.isSafeInteger(size_bytes)) {
    header.set(encoder.encode(`${octal(size_bytes, 11)}\0`), SIZE_AT);
    return;
  }
  header[SIZE_AT] = 0x80;
  new DataView(header.buffer, header.byteOffset).setBigUint64(SIZE_AT + 4, BigInt(size_bytes));
}

/** The sum of a header's bytes, with its own field as spaces. */
const sumOf = (header: Uint8Array) =>
  header.reduce((total, byte, at) => total + (at >= SUM_AT && at < SUM_AT + 8 ? 0x20 : byte), 0);

/**
 * The header before a file's bytes; `time_s` is its time in Unix seconds. Throws RangeError if the path is too long for
 * the format, or a number is out of range.
 */
export function tarHeader(
  path: string,
  size_bytes: number,
  mode = 0o644,
  time_s = 0,
): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => header.set(encoder.encode(text), at);
  const [prefix, name] = splitName(path);
  header.set(name, 0);
  put(100, `${octal(mode, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`);
  putSize(header, size_bytes);
  put(136, `${octal(time_s, 11)}\0`);
  put(SUM_AT, "        0");
  put(257, "ustar\x0000");
  header.set(prefix, 345);
  put(SUM_AT, `${octal(sumOf(header), 6)}\0 `);
  return header;
}

/** The padding after a file's bytes. */
export function tarPadding(size_bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((BLOCK_BYTES - size_bytes % BLOCK_BYTES) % BLOCK_BYTES);
}

/** The end of an archive. */
export function tarEnd(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(2 * BLOCK_BYTES);
}

/** Reads exact numbers of bytes from a stream of pieces. */
class Pieces {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one byte and at most `max`; undefined at the end. */
  async some(max: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next();
      if (done === true) return undefined;
      this.#rest = value;
    }
    const taken = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(taken.length);
    return taken as Uint8Array<ArrayBuffer>;
  }

  /** Pieces of `size_bytes` in total. Throws TarError at the end of the stream. */
  async *exactly(size_bytes: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let left = size_bytes; left > 0;) {
      const piece = await this.some(left);
      if (piece === undefined) throw new TarError("the archive is cut short");
      left -= piece.length;
      yield piece;
    }
  }

  /** A whole block; undefined at the end of the stream. */
  async block(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const first = await this.some(BLOCK_BYTES);
    if (first === undefined) return undefined;
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(first);
    let at = first.length;
    for await (const piece of this.exactly(BLOCK_BYTES - at)) {
      block.set(piece, at);
      at += piece.length;
    }
    return block;
  }

  /** Ends the source, which is not read further. */
  async end(): Promise<void> {
    await this.#source.return?.();
  }
}

function textAt(header: Uint8Array, at: number, size_bytes: number): string {
  const field = header.subarray(at, at + size_bytes);
  const end = field.indexOf(0);
  try {
    return decoder.decode(end < 0 ? field : field.subarray(0, end));
  } catch {
    throw new TarError("the archive has a name that is no UTF-8");
  }
}

function numberAt(header: Uint8Array, at: number, size_bytes: number): number {
  if (header[at] === 0x80) {
    const high = header.subarray(at + 1, at + size_bytes - 8).some((byte) => byte !== 0);
    const value = new DataView(header.buffer, header.byteOffset)
      .getBigUint64(at + size_bytes - 8);
    if (!high && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  }
  const text = textAt(header, at, size_bytes).trim();
  if (!/^[0-7]{1,12}$/.test(text)) throw new TarError("this is no tar archive");
  return parseInt(text, 8);
}

function parseHeader(header: Uint8Array): { path: string; size_bytes: number } {
  if (numberAt(header, SUM_AT, 8) !== sumOf(header)) {
    throw new TarError("this is no tar archive, or it is damaged");
  }
  const prefix = textAt(header, 345, PREFIX_BYTES);
  const name = textAt(header, 0, NAME_BYTES);
  const path = prefix === "" ? name : `${prefix}/${name}`;
  const kind = header[156];
  if (kind !== 0 && kind !== 0x30) throw new TarError(`${path} is no regular file`);
  const is_tame = path !== "" && !path.startsWith("/") && !path.includes("\\") &&
    !path.split("/").some((part) => part === "" || part === "." || part === "..");
  if (!is_tame) throw new TarError(`the archive has a file with the path ${JSON.stringify(path)}`);
  return { path, size_bytes: numberAt(header, SIZE_AT, 12) };
}

const isZero = (block: Uint8Array) => block.every((byte) => byte === 0);

/** The files of an archive in order. Throws TarError, also for a missing end. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const pieces = new Pieces(source);
  try {
    for (;;) {
      const header = await pieces.block();
      if (header === undefined) throw new TarError("the archive is cut short");
      if (isZero(header)) break;
      const { path, size_bytes } = parseHeader(header);
      let left = size_bytes;
      const bytes = async function* () {
        for await (const piece of pieces.exactly(size_bytes)) {
          left -= piece.length;
          yield piece;
        }
      };
      yield { path, size_bytes, bytes: bytes() };
      for await (const _ of pieces.exactly(left + tarPadding(size_bytes).length));
    }
    const second = await pieces.block();
    if (second === undefined || !isZero(second)) throw new TarError("the archive is cut short");
    // Reads to the end, so that a wrapping encryption can verify its own end.
    while (await pieces.some(BLOCK_BYTES) !== undefined);
  } finally {
    await pieces.end();
  }
}
