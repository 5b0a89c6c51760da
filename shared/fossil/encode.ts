/**
 * Diffs in Fossil's delta format (https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki). The time is linear in
 * the sizes of base and data for any input: publishers choose both, and everyone else waits for the diff.
 */

const DIGITS = new TextEncoder().encode(
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~",
);
const [NEWLINE, INSERT, COPY, COPY_END, END] = new TextEncoder().encode("\n:@,;");
/** Bytes of a diff besides its commands: the size, the checksum, the terminators, and the last literal's header. */
const FRAME_BYTES = 64;

function digitsOf(value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 64; rest = Math.floor(rest / 64)) digits++;
  return digits;
}

/** The bytes of a diff. No command is written that is longer than the data it stands for. */
class Diff {
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(data_length: number) {
    this.#bytes = new Uint8Array(data_length + FRAME_BYTES);
  }

  /** A number, and the command that it belongs to. */
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

/** The bytes that a copy saves, with the literal before it. */
function gainOf(from: number, length: number, literal: number): number {
  const before = literal === 0 ? 0 : digitsOf(literal) + 1;
  return length - digitsOf(length) - digitsOf(from) - 2 - before;
}

/** The sum of all big-endian 32-bit words; the last one is padded with zeros. */
function checksum(data: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < data.length; at++) sum = (sum + (data[at]! << (24 - 8 * (at & 3)))) | 0;
  return sum >>> 0;
}

/** The diff that turns `base` into `data`; it may be slightly larger than the data. `work` receives the cost. */
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

/** Bytes of a block: shorter runs are found only next to an earlier match. */
const WINDOW = 16;
/** Blocks that are compared at one position, the first of the base first. */
const TRIES = 32;
/** A match of this many bytes is accepted without a search for a better one. */
const ENOUGH = 512;
/**
 * The budget of steps for each byte of both: once it is spent, the search tries only the position after the last match.
 */
const STEPS_PER_BYTE = 16;
const FACTOR = 0x01000193;
const HASH_BITS_MIN = 6;
const HASH_BITS_MAX = 16;

interface Work {
  /** Compared bytes and tried blocks. */
  steps: number;
}

/** A run of the data that is also in the base. */
interface Match {
  readonly from: number;
  /** Its position in the data. */
  readonly place: number;
  readonly length: number;
  /** The bytes that it saves. */
  readonly gain: number;
}

/** The bytes that a copy saves, with the literal before it. */
type Gain = (from: number, length: number, literal: number) => number;

/** FACTOR to the power of `WINDOW - 1`. */
const OLDEST = Array.from({ length: WINDOW - 1 }).reduce<number>(
  (power) => Math.imul(power, FACTOR),
  1,
);

function hashOf(bytes: Uint8Array, at: number): number {
  let hash = 0;
  for (let index = 0; index < WINDOW; index++) {
    hash = (Math.imul(hash, FACTOR) + bytes[at + index]!) | 0;
  }
  return hash;
}

/** The blocks of a base, for one pass over some data. */
class Blocks {
  readonly #base: Uint8Array;
  readonly #data: Uint8Array;
  readonly #gain: Gain;
  readonly #work: Work;
  readonly #steps_max: number;
  readonly #shift: number;
  readonly #hashes: Int32Array;
  /** The first block of each hash, and for each block the next one, plus 1; 0: none. */
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  #hash = 0;
  #hashed = -1;
  /** The distance of the last match: its position in the base minus its position in the data. */
  #ahead = 0;

  constructor(base: Uint8Array, data: Uint8Array, gain: Gain, work: Work = { steps: 0 }) {
    this.#base = base;
    this.#data = data;
    this.#gain = gain;
    this.#work = work;
    this.#steps_max = work.steps + STEPS_PER_BYTE * (base.length + data.length);
    const count = Math.floor(base.length / WINDOW);
    const bits = Math.ceil(Math.log2(2 * count + 1));
    const hash_bits = Math.min(HASH_BITS_MAX, Math.max(HASH_BITS_MIN, bits));
    this.#shift = 32 - hash_bits;
    this.#hashes = new Int32Array(count);
    this.#heads = new Int32Array(1 << hash_bits);
    this.#next = new Int32Array(count);
    for (let block = 0; block < count; block++) this.#hashes[block] = hashOf(base, block * WINDOW);
    for (let block = count - 1; block >= 0; block--) {
      const hash = this.#hashes[block];
      // Of a run of equal blocks only its ends are indexed: the rest would crowd out other blocks.
      if (hash === this.#hashes[block - 1] && hash === this.#hashes[block + 1]) continue;
      const bucket = this.#bucketOf(hash!);
      this.#next[block] = this.#heads[bucket]!;
      this.#heads[bucket] = block + 1;
    }
  }

  /**
   * The best match at a position, which may begin earlier, but not before `added`. Undefined: none saves bytes.
   * Positions must ascend.
   */
  at(place: number, added: number): Match | undefined {
    this.#roll(place);
    let best = this.#better(undefined, place + this.#ahead, place, added);
    let block = this.#heads[this.#bucketOf(this.#hash)]! - 1;
    for (let tries = 0; block >= 0 && tries < TRIES; tries++) {
      if (this.#work.steps > this.#steps_max) break;
      if (best !== undefined && best.length >= ENOUGH) break;
      this.#work.steps++;
      if (this.#hashes[block] === this.#hash) {
        best = this.#better(best, block * WINDOW, place, added);
      }
      block = this.#next[block]! - 1;
    }
    if (best !== undefined) this.#ahead = best.from - best.place;
    return best;
  }

  /** The match with a position of the base, if it is better. */
  #better(best: Match | undefined, from: number, place: number, added: number): Match | undefined {
    const base = this.#base;
    const data = this.#data;
    if (from < 0) return best;
    const most = Math.min(base.length - from, data.length - place);
    let length = 0;
    while (length < most && base[from + length] === data[place + length]) length++;
    this.#work.steps += length + 1;
    if (length === 0) return best;
    const most_before = Math.min(from, place - added);
    let before = 0;
    while (before < most_before && base[from - before - 1] === data[place - before - 1]) before++;
    this.#work.steps += before;
    const gain = this.#gain(from - before, length + before, place - before - added);
    if (gain <= (best?.gain ?? 0)) return best;
    return { from: from - before, place: place - before, length: length + before, gain };
  }

  #roll(place: number): void {
    const data = this.#data;
    if (place !== this.#hashed + 1 || place === 0) this.#hash = hashOf(data, place);
    else {
      const rest = (this.#hash - Math.imul(data[place - 1]!, OLDEST)) | 0;
      this.#hash = (Math.imul(rest, FACTOR) + data[place + WINDOW - 1]!) | 0;
    }
    this.#hashed = place;
  }

  #bucketOf(hash: number): number {
    return Math.imul(hash, 0x9e3779b1) >>> this.#shift;
  }
}
