/**
 * Diffs as Fossil has them (https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki), in time that goes with the
 * size of both, whatever they are: a publisher chooses both, and everybody waits for the diff.
 */

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

/** Bytes of a block: what is shorter is found only where it is behind what was found before. */
const WINDOW = 16;
/** Blocks that are compared at one place, the first of the base first. */
const TRIES = 32;
/** A match of so many bytes is taken without a look for a better one. */
const ENOUGH = 512;
/** Steps for each byte of both: when they are taken, what is left is looked for only behind the last match. */
const STEPS_PER_BYTE = 16;
const FACTOR = 0x01000193;
const HASH_BITS_MIN = 6;
const HASH_BITS_MAX = 16;

/** What a diff took. */
interface Work {
  /** Bytes that were compared, and blocks that were looked at. */
  steps: number;
}

/** A run of the data that is in the base, too. */
interface Match {
  /** Where it is in the base. */
  readonly from: number;
  /** Where it begins in the data. */
  readonly place: number;
  readonly length: number;
  /** What it saves, in bytes. */
  readonly gain: number;
}

/** What a copy of a place of the base saves, in bytes, with the literal before it. */
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
  /** The first block of each hash, and behind each block the next, plus 1; 0: none. */
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  /** The hash of the data at `#hashed`. */
  #hash = 0;
  #hashed = -1;
  /** How far behind its place in the data the last match is in the base. */
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
      // In a run of one block only its ends say something: the rest would crowd out others.
      if (hash === this.#hashes[block - 1] && hash === this.#hashes[block + 1]) continue;
      const bucket = this.#bucketOf(hash!);
      this.#next[block] = this.#heads[bucket]!;
      this.#heads[bucket] = block + 1;
    }
  }

  /**
   * The best match at a place, which may begin earlier, but not before `added`. Undefined: none saves anything. Places
   * go up.
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

  /** What stands at a place of the base, when it is better. */
  #better(
    best: Match | undefined,
    from: number,
    place: number,
    added: number,
  ): Match | undefined {
    const [base, data] = [this.#base, this.#data];
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
