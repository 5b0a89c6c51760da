/**
 * Writes the atoms of the WebAssembly binary format into a growing buffer, integers in their shortest
 * form. Knows nothing of sections.
 */

const UTF8 = new TextEncoder();

/** A growing run of bytes. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(capacity_bytes = 1_024) {
    this.#bytes = new Uint8Array(capacity_bytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** A view of what was written; valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Discards the written bytes and keeps the buffer. */
  clear(): void {
    this.#length = 0;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const wider = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    wider.set(this.view());
    this.#bytes = wider;
  }

  u8(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** An unsigned LEB128. @throws {TypeError} if it is no u32. */
  u32(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      throw new TypeError(`${value} is not an unsigned 32-bit integer`);
    }
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  /** A signed LEB128 of up to 33 bits. @throws {TypeError} if it has more, or is no integer. */
  s33(value: number): void {
    if (!Number.isInteger(value) || value < -(2 ** 32) || value >= 2 ** 32) {
      throw new TypeError(`${value} is not a signed 33-bit integer`);
    }
    let rest = value;
    while (rest < -0x40 || rest >= 0x40) {
      this.u8((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest & 0x7f);
  }

  /** A signed LEB128 of 64 bits. @throws {TypeError} if it has more. */
  s64(value: bigint): void {
    if (BigInt.asIntN(64, value) !== value) {
      throw new TypeError(`${value} is not a signed 64-bit integer`);
    }
    let rest = value;
    while (rest < -0x40n || rest >= 0x40n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.u8(Number(rest & 0x7fn));
  }

  /** Four bytes, little-endian. */
  bits32(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.u8((value >>> shift) & 0xff);
  }

  /** Eight bytes, little-endian. */
  bits64(value: bigint): void {
    this.bits32(Number(value & 0xffff_ffffn));
    this.bits32(Number((value >> 32n) & 0xffff_ffffn));
  }

  /** Length and bytes. */
  sized(bytes: Uint8Array): void {
    this.u32(bytes.length);
    this.raw(bytes);
  }

  /** Length and UTF-8. */
  text(text: string): void {
    this.sized(UTF8.encode(text));
  }

  /** Count and items. */
  list<Item>(items: readonly Item[], write: (item: Item) => void): void {
    this.u32(items.length);
    items.forEach(write);
  }
}
