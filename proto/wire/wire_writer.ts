/**
 * Writes the Protobuf wire format: functions that write into a sized buffer (for the message path), and a growing
 * writer (for everything else). It knows no messages.
 */
import { encodeUtf8 } from "./utf8.ts";
import type { Uint64 } from "./wire.ts";
import { SPARE_BYTES, SPARE_LIMIT_BYTES, WIRE_BYTES } from "./wire_numbers.ts";

/**
 * Bytes that are read by positions. They may begin before the envelope, so their type differs from `Uint8Array`, which
 * readers of whole envelopes accept.
 */
export interface SpannedBytes {
  readonly [at: number]: number;
  readonly length: number;
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  subarray(start: number, end: number): Uint8Array;
}

/** Bytes of a varint. Throws TypeError, with the field's name, unless `value` is an integer from 0 to 2^53-1. */
export function varintSize(value: number, name: string = "a varint"): number {
  if ((value & 0x7f) === value) return 1;
  if ((value & 0x3fff) === value) return 2;
  checkUint64(name, value, Number.isSafeInteger(value));
  let size = 3;
  for (let rest = value / 0x200000; rest >= 1; rest /= 128) size++;
  return size;
}

/** Writes an integer and returns the position after it. Throws as `varintSize`. */
export function putVarint(out: Uint8Array, at: number, value: number): number {
  if ((value & 0x7f) === value) {
    out[at] = value;
    return at + 1;
  }
  checkUint64("a varint", value, Number.isSafeInteger(value));
  let rest = value;
  if (rest > 0xfffffff) {
    // 28 bits first, so that the rest is a small integer: arithmetic on doubles is slow.
    const high = Math.floor(rest / 0x10000000);
    const low = rest - high * 0x10000000;
    out[at++] = (low & 0x7f) | 0x80;
    out[at++] = ((low >>> 7) & 0x7f) | 0x80;
    out[at++] = ((low >>> 14) & 0x7f) | 0x80;
    out[at++] = ((low >>> 21) & 0x7f) | 0x80;
    rest = high;
  }
  while (rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}

/** Up to this many bytes a loop costs no more than a view, and leaves no garbage. */
const LOOP_BYTES = 40;

/** Copies `bytes[start..end)` to `out` and returns the position after it. */
export function putBytes(
  out: Uint8Array,
  at: number,
  bytes: SpannedBytes,
  start: number,
  end: number,
): number {
  const size = end - start;
  if (size <= LOOP_BYTES) {
    for (let index = 0; index < size; index++) out[at + index] = bytes[start + index]!;
  } else {
    out.set(bytes.subarray(start, end), at);
  }
  return at + size;
}

const EMPTY = new Uint8Array();

/** The buffer of the last finished writer, for reuse: allocation is the largest cost here. */
let spare: Uint8Array<ArrayBuffer> | undefined;

/** Writes fields; as Protobuf it omits default values. Throws TypeError for an invalid number. */
export class WireWriter {
  private out: Uint8Array<ArrayBuffer>;
  private pos = 0;

  constructor() {
    this.out = spare ?? new Uint8Array(SPARE_BYTES);
    spare = undefined;
  }

  byte(value: number): void {
    this.reserve(1);
    this.out[this.pos++] = value;
  }

  text(field: number, value: string | undefined): void {
    if (!value) return;
    const start = this.pos;
    this.reserve(value.length + 20);
    this.prefix(field, value.length);
    for (let at = 0; at < value.length; at++) {
      const unit = value.charCodeAt(at);
      if (unit > 0x7f) {
        // Not ASCII: starts again.
        this.pos = start;
        return this.bytes(field, encodeUtf8(value));
      }
      this.out[this.pos++] = unit;
    }
  }

  bytes(field: number, value: Uint8Array | undefined): void {
    if (value === undefined || value.length === 0) return;
    this.reserve(value.length + 20);
    this.prefix(field, value.length);
    this.out.set(value, this.pos);
    this.pos += value.length;
  }

  /**
   * Begins an embedded message, which lasts until `close` with the returned mark. It is written even if it is empty.
   */
  open(field: number): number {
    this.reserve(20);
    this.pos = putVarint(this.out, this.pos, field << 3 | WIRE_BYTES);
    return ++this.pos;
  }

  close(mark: number): void {
    const size = this.pos - mark;
    // One byte was reserved for the length; a longer one moves the message.
    const more = varintSize(size) - 1;
    if (more > 0) {
      this.reserve(more);
      this.out.copyWithin(mark + more, mark, this.pos);
      this.pos += more;
    }
    putVarint(this.out, mark - 1, size);
  }

  uint32(field: number, value: number | undefined): void {
    if (value !== undefined && value > 0xffffffff) {
      throw new TypeError(`field ${field} is no uint32: ${value}`);
    }
    this.uint64(field, value);
  }

  uint64(field: number, value: Uint64 | undefined): void {
    if (value === undefined || value === 0 || value === 0n) return;
    if (typeof value === "number") {
      checkUint64(`field ${field}`, value, Number.isSafeInteger(value));
      this.varint(field << 3);
      return this.varint(value);
    }
    checkUint64(`field ${field}`, value, BigInt.asUintN(64, value) === value);
    this.bigint(field, value);
  }

  int64(field: number, value: number | undefined): void {
    if (value === undefined || value >= 0) return this.uint64(field, value);
    if (!Number.isSafeInteger(value)) {
      throw new TypeError(`field ${field} is no safe integer: ${value}`);
    }
    this.bigint(field, BigInt.asUintN(64, BigInt(value)));
  }

  /** A number without a field, as in a packed list. Throws TypeError unless it is from 0 to 2^53-1. */
  varint(value: number): void {
    this.reserve(10);
    this.pos = putVarint(this.out, this.pos, value);
  }

  bool(field: number, value: boolean | undefined): void {
    if (value === true) this.uint64(field, 1);
  }

  /** A copy of the written bytes. The writer must not be used afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    const { out, pos } = this;
    this.out = EMPTY;
    this.pos = 0;
    if (out.length <= SPARE_LIMIT_BYTES) spare = out;
    return out.slice(0, pos);
  }

  private bigint(field: number, value: bigint): void {
    this.reserve(20);
    this.pos = putVarint(this.out, this.pos, field << 3);
    let rest = value;
    for (; rest > 0x7fn; rest >>= 7n) this.out[this.pos++] = Number(rest & 0x7fn) | 0x80;
    this.out[this.pos++] = Number(rest);
  }

  private prefix(field: number, size: number): void {
    this.pos = putVarint(this.out, this.pos, field << 3 | WIRE_BYTES);
    this.pos = putVarint(this.out, this.pos, size);
  }

  private reserve(size: number): void {
    if (this.pos + size <= this.out.length) return;
    const grown = new Uint8Array(Math.max(this.out.length * 2, this.pos + size));
    grown.set(this.out.subarray(0, this.pos));
    this.out = grown;
  }
}

function checkUint64(name: string, value: Uint64, fits: boolean): void {
  if (!fits || value < 0) throw new TypeError(`${name} is no uint64: ${value}`);
}

/** A repeated uint64 in its packed form; every value is an integer from 0 to 2^53-1. */
export function writePacked(writer: WireWriter, field: number, values: readonly number[]): void {
  if (values.length === 0) return;
  const mark = writer.open(field);
  for (const value of values) writer.varint(value);
  writer.close(mark);
}
