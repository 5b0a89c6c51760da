/**
 * Diffs as Fossil has them (https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki), in time that goes with the
 * size of both, whatever they are: a publisher chooses both, and everybody waits for the diff.
 */
import { Blocks, WINDOW } from "./blocks.ts";
import type { Work } from "./blocks.ts";

const DIGITS = new TextEncoder().encode(
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~",
);
const [NEWLINE, INSERT, COPY, COPY_END, END] = new TextEncoder().encode("\n:@,;");
/** What is beside the parts of a diff, and its last bytes as they are: the size, the checksum, what ends them. */
const FRAME_BYTES = 64;

/** How many digits a number takes. */
function digitsOf(value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 64; rest = Math.floor(rest / 64)) digits++;
  return digits;
}

/** The bytes of a diff. Nothing is written that takes more than the data that it stands for. */
class Diff {
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(data_length: number) {
    this.#bytes = new Uint8Array(data_length + FRAME_BYTES);
  }

  /** A number, and what it is for. */
  number(value: number, what: number | undefined): void {
    let rest = value;
    for (let at = this.#length + digitsOf(value) - 1; at >= this.#length; at--) {
      this.#bytes[at] = DIGITS[rest % 64]!;
      rest = Math.floor(rest / 64);
    }
    this.#length += digitsOf(value);
    this.#bytes[this.#length++] = what!;
  }

  insert(data: Uint8Array): void {
    if (data.length === 0) return;
    this.number(data.length, INSERT);
    this.#bytes.set(data, this.#length);
    this.#length += data.length;
  }

  copy(from: number, length: number): void {
    this.number(length, COPY);
    this.number(from, COPY_END);
  }

  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** What a copy saves, with the literal before it. */
function gainOf(from: number, length: number, literal: number): number {
  const before = literal === 0 ? 0 : digitsOf(literal) + 1;
  return length - digitsOf(length) - digitsOf(from) - 2 - before;
}

/** The sum of all words of four bytes, the highest first; what is left over is filled up with zeros. */
function checksum(data: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < data.length; at++) sum = (sum + (data[at]! << (24 - 8 * (at & 3)))) | 0;
  return sum >>> 0;
}

/** What makes `data` of `base`; it may be a little larger than the data. `work` learns how much it took. */
export function createFossil(base: Uint8Array, data: Uint8Array, work?: Work): Uint8Array {
  const diff = new Diff(data.length);
  diff.number(data.length, NEWLINE);
  const blocks = new Blocks(base, data, gainOf, work);
  let added = 0;
  let at = 0;
  while (at + WINDOW <= data.length) {
    const found = blocks.at(at, added);
    if (found === undefined) at++;
    else {
      diff.insert(data.subarray(added, found.place));
      diff.copy(found.from, found.length);
      added = at = found.place + found.length;
    }
  }
  diff.insert(data.subarray(added));
  diff.number(checksum(data), END);
  return diff.toBytes();
}
