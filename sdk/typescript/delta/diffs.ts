/**
 * Applies diffs strictly: VCDIFF (RFC 3284) with one window, the default code table and no secondary compression, and
 * the Fossil format; invalid diffs are refused. Creates no diffs: the Shield does.
 */

const HEADER = [0xd6, 0xc3, 0xc4, 0, 0];
const VCD_SOURCE = 1;
const NUMBER_MAX = 2 ** 32;
const NEAR = 4;
const SAME = 768;

/** The digits of numbers, in the order of their values. */
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
const VALUES: ReadonlyMap<number, number> = new Map(
  [...DIGITS].map((digit, value) => [digit.charCodeAt(0), value]),
);
const LINE = 0x0a;
const COPY = 0x40;
const COMMA = 0x2c;
const INSERT = 0x3a;
const END = 0x3b;

/** Thrown for an invalid diff; never leaves this file. */
class NoDiff extends Error {}

/** A part of a diff, read from its beginning. */
class Section {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get is_over(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new NoDiff();
    return byte;
  }

  number(): number {
    let value = 0;
    for (;;) {
      const byte = this.byte();
      value = value * 128 + (byte & 0x7f);
      if (value >= NUMBER_MAX) throw new NoDiff();
      if (byte < 0x80) return value;
    }
  }

  take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new NoDiff();
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}

/** The output of one window. */
class Target {
  readonly #source: Uint8Array;
  readonly #data: Section;
  readonly #places: Section;
  readonly #near = new Uint32Array(NEAR);
  readonly #same = new Uint32Array(SAME);
  readonly bytes: Uint8Array<ArrayBuffer>;
  #next = 0;
  #at = 0;

  constructor(source: Uint8Array, length: number, data: Section, places: Section) {
    this.#source = source;
    this.#data = data;
    this.#places = places;
    this.bytes = new Uint8Array(length);
  }

  /** Whether the output is complete. */
  get is_done(): boolean {
    return this.#at === this.bytes.length && this.#data.is_over && this.#places.is_over;
  }

  add(length: number): void {
    this.bytes.set(this.#data.take(this.#fitting(length)), this.#at);
    this.#at += length;
  }

  run(length: number): void {
    this.bytes.fill(this.#data.byte(), this.#at, this.#at + this.#fitting(length));
    this.#at += length;
  }

  copy(length: number, mode: number): void {
    const from = this.#place(mode);
    const source = this.#source;
    const end = this.#at + this.#fitting(length);
    if (from + length <= source.length) {
      this.bytes.set(source.subarray(from, from + length), this.#at);
      this.#at = end;
    }
    // The source may overlap the output of this copy.
    for (let at = from; this.#at < end; at++) {
      const byte = at < source.length ? source[at] : this.bytes[at - source.length];
      this.bytes[this.#at++] = byte ?? 0;
    }
  }

  /** The length, if it fits into the rest of the output. */
  #fitting(length: number): number {
    if (length > this.bytes.length - this.#at) throw new NoDiff();
    return length;
  }

  #place(mode: number): number {
    const here = this.#source.length + this.#at;
    const place = this.#named(mode, here);
    if (place < 0 || place >= here) throw new NoDiff();
    this.#near[this.#next] = place;
    this.#next = (this.#next + 1) % NEAR;
    this.#same[place % SAME] = place;
    return place;
  }

  #named(mode: number, here: number): number {
    const places = this.#places;
    if (mode === 0) return places.number();
    if (mode === 1) return here - places.number();
    if (mode < 2 + NEAR) return (this.#near[mode - 2] ?? 0) + places.number();
    return this.#same[(mode - 2 - NEAR) * 256 + places.byte()] ?? 0;
  }
}

/** Runs one instruction of the default code table, which may be two. */
function run(target: Target, instructions: Section): void {
  const code = instructions.byte();
  const sizeOr = (size: number) => size === 0 ? instructions.number() : size;
  if (code === 0) target.run(instructions.number());
  else if (code < 19) target.add(sizeOr(code - 1));
  else if (code < 163) {
    const size = (code - 19) % 16;
    target.copy(sizeOr(size === 0 ? 0 : size + 3), Math.floor((code - 19) / 16));
  } else if (code < 235) {
    target.add(1 + Math.floor((code - 163) % 12 / 3));
    target.copy(4 + (code - 163) % 3, Math.floor((code - 163) / 12));
  } else if (code < 247) {
    target.add(1 + (code - 235) % 4);
    target.copy(4, 6 + Math.floor((code - 235) / 4));
  } else {
    target.copy(4, code - 247);
    target.add(1);
  }
}

/** Whether a diff has the magic bytes of VCDIFF; no Fossil diff begins with them. */
export function isVcdiff(diff: Uint8Array): boolean {
  return HEADER.slice(0, 3).every((byte, at) => diff[at] === byte);
}

/** Applies a diff to data; undefined if the diff is invalid, has another base, or makes more than `bytes_max`. */
type Apply = (
  base: Uint8Array,
  diff: Uint8Array,
  bytes_max: number,
) => Uint8Array<ArrayBuffer> | undefined;

const strict = (
  apply: (base: Uint8Array, all: Section, bytes_max: number) => Uint8Array<ArrayBuffer>,
): Apply =>
(base, diff, bytes_max) => {
  try {
    return apply(base, new Section(diff), bytes_max);
  } catch (error) {
    if (error instanceof NoDiff) return undefined;
    throw error;
  }
};

/** Applies VCDIFF. It has no checksum: a caller that has one must compare it. */
export const applyVcdiff: Apply = strict(applyWindow);

/** Applies a diff of the Fossil format. */
export const applyFossil: Apply = strict((base, all, bytes_max) => {
  const size = digits(all, LINE).value;
  if (size > bytes_max) throw new NoDiff();
  const made = new Uint8Array(size);
  for (let at = 0;;) {
    const { value, end } = digits(all, COPY, INSERT, END);
    if (end === END) {
      if (at !== size || !all.is_over || value !== checksumOf(made)) throw new NoDiff();
      return made;
    }
    if (value > size - at) throw new NoDiff();
    if (end === COPY) {
      const from = digits(all, COMMA).value;
      if (from + value > base.length) throw new NoDiff();
      made.set(base.subarray(from, from + value), at);
    } else made.set(all.take(value), at);
    at += value;
  }
});

/** A Fossil number and the byte after it, which must be one of `ends`. */
function digits(all: Section, ...ends: readonly number[]) {
  let value = 0;
  for (let count = 0;; count++) {
    const byte = all.byte();
    const digit = VALUES.get(byte);
    if (digit === undefined) {
      if (count === 0 || !ends.includes(byte)) throw new NoDiff();
      return { value, end: byte };
    }
    value = value * 64 + digit;
    if (value >= NUMBER_MAX) throw new NoDiff();
  }
}

function applyWindow(base: Uint8Array, all: Section, bytes_max: number): Uint8Array<ArrayBuffer> {
  for (const byte of HEADER) if (all.byte() !== byte) throw new NoDiff();
  const indicator = all.byte();
  if (indicator > VCD_SOURCE) throw new NoDiff();
  const length = indicator === VCD_SOURCE ? all.number() : 0;
  const source = new Section(base);
  if (indicator === VCD_SOURCE) source.take(all.number());
  const segment = source.take(length);
  const window = new Section(all.take(all.number()));
  const made = window.number();
  if (!all.is_over || made > bytes_max || window.byte() !== 0) throw new NoDiff();
  const added = window.number();
  const instructions_bytes = window.number();
  const named = window.number();
  const data = new Section(window.take(added));
  const instructions = new Section(window.take(instructions_bytes));
  const target = new Target(segment, made, data, new Section(window.take(named)));
  while (!instructions.is_over) run(target, instructions);
  if (!target.is_done || !window.is_over) throw new NoDiff();
  return target.bytes;
}

/** The sum of the data as big-endian words of 32 bits. */
function checksumOf(data: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < data.length; at++) {
    sum = (sum + ((data[at] ?? 0) << (24 - 8 * (at & 3)))) | 0;
  }
  return sum >>> 0;
}
