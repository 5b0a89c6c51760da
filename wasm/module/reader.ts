/**
 * Reads the atoms of the WebAssembly binary format from a span of bytes, in order, each byte once.
 * Throws `WasmError` (malformed) and never reads past its end. Knows nothing of sections.
 */
import { malformed } from "./errors.ts";

/** The work of a decode, in bytes read and operands visited, so that tests can prove it linear. */
export interface Work {
  steps: number;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A cursor over `bytes` from `position` up to `end`. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  readonly work: Work;
  /** Byte offset from the start of the module. */
  position: number;

  constructor(bytes: Uint8Array, position: number, end: number, work: Work) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
    this.work = work;
  }

  /** Whether everything has been read. */
  done(): boolean {
    return this.position >= this.end;
  }

  u8(): number {
    const byte = this.position < this.end ? this.bytes[this.position] : undefined;
    if (byte === undefined) throw malformed("unexpected end of the bytes", this.position);
    this.position += 1;
    this.work.steps += 1;
    return byte;
  }

  /** The next byte without reading it; -1 at the end. */
  peek(): number {
    return this.position < this.end ? this.bytes[this.position] ?? -1 : -1;
  }

  /** An unsigned LEB128 of 32 bits. */
  u32(): number {
    const start = this.position;
    let value = 0;
    for (let at = 0; at < 4; at += 1) {
      const byte = this.u8();
      value |= (byte & 0x7f) << (7 * at);
      if (byte < 0x80) return value;
    }
    const last = this.u8();
    if (last >= 0x80) throw malformed("an integer takes more than 5 bytes", start);
    if (last > 0x0f) throw malformed("an integer does not fit into 32 bits", start);
    return (value | (last << 28)) >>> 0;
  }

  /** A signed LEB128 of 32 bits. */
  s32(): number {
    return this.#signed(0x78, 32) | 0;
  }

  /** A signed LEB128 of 33 bits: block types. */
  s33(): number {
    return this.#signed(0x70, 33);
  }

  /** `sign_mask` are the bits of a fifth byte that must all equal the sign. */
  #signed(sign_mask: number, bits: number): number {
    const start = this.position;
    let value = 0;
    for (let at = 0; at < 5; at += 1) {
      const byte = this.u8();
      if (at === 4) {
        if (byte >= 0x80) throw malformed("an integer takes more than 5 bytes", start);
        const sign = byte & sign_mask;
        if (sign !== 0 && sign !== sign_mask) {
          throw malformed(`an integer does not fit into ${bits} bits`, start);
        }
      }
      value += (byte & 0x7f) * 2 ** (7 * at);
      if (byte < 0x80) return byte & 0x40 ? value - 2 ** (7 * at + 7) : value;
    }
    return value;
  }

  /** A signed LEB128 of 64 bits. */
  s64(): bigint {
    const start = this.position;
    let low = 0; // the first 7 bytes: 49 bits, exact in a number
    for (let at = 0; at < 7; at += 1) {
      const byte = this.u8();
      low += (byte & 0x7f) * 2 ** (7 * at);
      if (byte < 0x80) return BigInt(byte & 0x40 ? low - 2 ** (7 * at + 7) : low);
    }
    let high = 0;
    for (let at = 0; at < 3; at += 1) {
      const byte = this.u8();
      if (at === 2 && byte >= 0x80) throw malformed("an integer takes more than 10 bytes", start);
      if (at === 2 && byte !== 0 && byte !== 0x7f) {
        throw malformed("an integer does not fit into 64 bits", start);
      }
      high += (byte & 0x7f) * 2 ** (7 * at);
      if (byte < 0x80) {
        if (byte & 0x40) high -= 2 ** (7 * at + 7);
        break;
      }
    }
    return BigInt.asIntN(64, (BigInt(high) << 49n) + BigInt(low));
  }

  /** Four bytes, little-endian, as an unsigned number: the bits of an f32. */
  bits32(): number {
    const a = this.u8();
    const b = this.u8();
    const c = this.u8();
    const d = this.u8();
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  /** Eight bytes, little-endian, as an unsigned number: the bits of an f64. */
  bits64(): bigint {
    const low = this.bits32();
    return (BigInt(this.bits32()) << 32n) | BigInt(low);
  }

  /** A view of the next `length` bytes. */
  take(length: number): Uint8Array {
    const { position, end } = this.span(length);
    this.work.steps += length;
    return this.bytes.subarray(position, end);
  }

  /** A cursor over the next `length` bytes, which this one skips. */
  span(length: number): Reader {
    if (length > this.end - this.position) {
      throw malformed(`a length of ${length} goes past the end`, this.position);
    }
    const inner = new Reader(this.bytes, this.position, this.position + length, this.work);
    this.position += length;
    return inner;
  }

  /** A length in bytes, then UTF-8 text. */
  text(): string {
    const start = this.position;
    const bytes = this.take(this.u32());
    try {
      return UTF8.decode(bytes);
    } catch {
      throw malformed("a name is not UTF-8", start);
    }
  }

  /** A count, then its items; each must read at least one byte, so that a huge count ends with the bytes. */
  list<Item>(read: () => Item): Item[] {
    const items: Item[] = [];
    for (let left = this.u32(); left > 0; left -= 1) items.push(read());
    return items;
  }

  /** Throws unless everything has been read. */
  finish(what: string): void {
    if (!this.done()) {
      throw malformed(`${what} is longer than its content`, this.position);
    }
  }
}
