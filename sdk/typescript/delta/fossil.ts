/**
 * Applies a diff of the Fossil format, strictly: what does not fit altogether is refused. Makes no diffs: the
 * Shield does.
 */

/** The digits of numbers, in the order of their values. */
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
const VALUES: ReadonlyMap<number, number> = new Map(
  [...DIGITS].map((digit, value) => [digit.charCodeAt(0), value]),
);
const [LINE, COPY, COMMA, INSERT, END] = [0x0a, 0x40, 0x2c, 0x3a, 0x3b];
const NUMBER_MAX = 2 ** 32;

/** The sum of the data as big-endian words of 32 bits. */
function checksumOf(data: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < data.length; at++) {
    sum = (sum + ((data[at] ?? 0) << (24 - 8 * (at & 3)))) | 0;
  }
  return sum >>> 0;
}

/** Reads a diff from its beginning. */
class DiffReader {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** A number and the byte behind it, which is one of those expected; undefined: something else is there. */
  number(...ends: readonly number[]): { readonly value: number; readonly end: number } | undefined {
    let value = 0;
    const start = this.at;
    for (; this.at < this.bytes.length; this.at++) {
      const byte = this.bytes[this.at] ?? 0;
      const digit = VALUES.get(byte);
      if (digit === undefined) {
        if (this.at++ === start || !ends.includes(byte)) return undefined;
        return { value, end: byte };
      }
      value = value * 64 + digit;
      if (value >= NUMBER_MAX) return undefined;
    }
    return undefined;
  }
}

/**
 * The data that a diff makes of `base`; undefined when it is no diff, none from `base`, or makes more than
 * `bytes_max`.
 */
export function applyFossil(
  base: Uint8Array,
  diff: Uint8Array,
  bytes_max: number,
): Uint8Array<ArrayBuffer> | undefined {
  const reader = new DiffReader(diff);
  const size = reader.number(LINE)?.value;
  if (size === undefined || size > bytes_max) return undefined;
  const made = new Uint8Array(size);
  let at = 0;
  for (;;) {
    const next = reader.number(COPY, INSERT, END);
    if (next === undefined) return undefined;
    const { value, end } = next;
    if (end === END) {
      const fits = at === size && reader.at === diff.length && value === checksumOf(made);
      return fits ? made : undefined;
    }
    if (value > size - at) return undefined;
    if (end === COPY) {
      const from = reader.number(COMMA)?.value;
      if (from === undefined || from + value > base.length) return undefined;
      made.set(base.subarray(from, from + value), at);
    } else {
      if (value > diff.length - reader.at) return undefined;
      made.set(diff.subarray(reader.at, reader.at + value), at);
      reader.at += value;
    }
    at += value;
  }
}
