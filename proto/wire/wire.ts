/**
 * Reads the Protobuf wire format: varints, tags, lengths, text. Checks every bound and throws only `DecodeError`. It
 * knows no messages; `wire_writer.ts` writes.
 */
import { DecodeError } from "../errors/error.ts";
import { decodeUtf8 } from "./utf8.ts";
import { PREFIX_BYTES_MAX, VARINT_BYTES_MAX, WIRE_BYTES, WIRE_FIXED32 } from "./wire_numbers.ts";
import { WIRE_FIXED64, WIRE_VARINT } from "./wire_numbers.ts";

/** A uint64: `number` up to 2^53-1, `bigint` above. */
export type Uint64 = number | bigint;

/** A cursor over `bytes[pos..end)`. Callers reduce `end` to read an embedded message. */
export class WireReader {
  bytes: Uint8Array;
  pos: number;
  end: number;
  /**
   * The most bytes of a tag or a length, padding included: other Protobuf runtimes refuse longer ones, and with them
   * the whole message. A larger value is only for the inspection of unreadable messages.
   */
  prefix_bytes_max: number = PREFIX_BYTES_MAX;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.pos = 0;
    this.end = bytes.length;
  }

  /** `field << 3 | wire type`, unsigned. The field number is 1 to 2^29-1, the type is not a group. */
  tag(): number {
    const start = this.pos;
    const tag = this.uint64(this.prefix_bytes_max);
    if (tag > 0xffffffff || tag < 8) {
      throw new DecodeError("malformed-frame", `field number out of range at byte ${start}`);
    }
    const type = Number(tag) & 7;
    if (type > WIRE_BYTES && type !== WIRE_FIXED32) {
      throw new DecodeError("malformed-frame", `wire type ${type} at byte ${start}`);
    }
    return Number(tag);
  }

  /** A varint of at most `bytes_max` bytes. */
  uint64(bytes_max: number = VARINT_BYTES_MAX): Uint64 {
    const bytes = this.bytes;
    if (this.pos >= this.end) throw this.truncated();
    const first = bytes[this.pos]!;
    if (first < 0x80) {
      this.pos++;
      return first;
    }
    return this.longVarint(bytes_max);
  }

  /** 2 to 10 bytes; kept as three parts of 28, 28 and 8 bits, which are exact as numbers. */
  private longVarint(bytes_max: number): Uint64 {
    const bytes = this.bytes;
    const start = this.pos;
    let low = 0, middle = 0, high = 0;
    for (let index = 0; index < bytes_max; index++) {
      const at = start + index;
      if (at >= this.end) throw this.truncated();
      const byte = bytes[at]!;
      const bits = byte & 0x7f;
      if (index < 4) low |= bits << (7 * index);
      else if (index < 8) middle |= bits << (7 * (index - 4));
      else high |= bits << (7 * (index - 8));
      if (byte < 0x80) {
        this.pos = at + 1;
        if (high > 0xff) break;
        if (high === 0 && middle < 0x2000000) return middle * 0x10000000 + low;
        return BigInt(high) << 56n | BigInt(middle) << 28n | BigInt(low);
      }
    }
    throw new DecodeError("malformed-frame", `varint too long at byte ${start}`);
  }

  uint32(): number {
    const start = this.pos;
    const value = this.uint64();
    if (value > 0xffffffff) {
      throw new DecodeError("malformed-frame", `uint32 out of range at byte ${start}`);
    }
    return Number(value);
  }

  /** An int32 or an enum. */
  int32(): number {
    const start = this.pos;
    const value = Number(this.signed(this.uint64()));
    if (value !== (value | 0)) {
      throw new DecodeError("malformed-frame", `int32 out of range at byte ${start}`);
    }
    return value;
  }

  /** An int64 as a number. Throws `invalid-field` outside ±(2^53-1). */
  int64(): number {
    const start = this.pos;
    const value = Number(this.signed(this.uint64()));
    if (!Number.isSafeInteger(value)) {
      throw new DecodeError("invalid-field", `integer beyond 2^53 at byte ${start}`);
    }
    return value;
  }

  private signed(value: Uint64): Uint64 {
    return typeof value === "bigint" ? BigInt.asIntN(64, value) : value;
  }

  bool(): boolean {
    return this.uint64() !== 0;
  }

  /** A length prefix, checked against the remaining bytes. */
  length(): number {
    const size = this.uint64(this.prefix_bytes_max);
    if (size > this.end - this.pos) throw this.truncated();
    return Number(size);
  }

  text(): string {
    const size = this.length();
    const start = this.pos;
    this.pos = start + size;
    return decodeUtf8(this.bytes, start, this.pos);
  }

  /** A view, not a copy. */
  view(): Uint8Array {
    const size = this.length();
    const start = this.pos;
    this.pos = start + size;
    return this.bytes.subarray(start, this.pos);
  }

  /** Reads an embedded message: `read` gets `end` at the message's end, and reads up to it. */
  embedded<Value, Rest extends unknown[]>(
    read: (reader: WireReader, ...rest: Rest) => Value,
    ...rest: Rest
  ): Value {
    const size = this.length();
    const outer_end = this.end;
    this.end = this.pos + size;
    const value = read(this, ...rest);
    this.end = outer_end;
    return value;
  }

  /** Skips the value of a field with this tag. */
  skip(tag: number): void {
    const type = tag & 7;
    if (type === WIRE_VARINT) {
      this.uint64();
      return;
    }
    const size = type === WIRE_BYTES ? this.length() : type === WIRE_FIXED64 ? 8 : 4;
    if (size > this.end - this.pos) throw this.truncated();
    this.pos += size;
  }

  private truncated(): DecodeError {
    return new DecodeError("malformed-frame", `truncated at byte ${this.end}`);
  }
}
