/**
 * Finds what data has of its base: the base is cut into blocks, and each place of the data is looked up among them by a
 * rolling hash. How a diff is written is `encode.ts`.
 */

/** Bytes of a block: what is shorter is found only where it is behind what was found before. */
export const WINDOW = 16;
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
export interface Work {
  /** Bytes that were compared, and blocks that were looked at. */
  steps: number;
}

/** A run of the data that is in the base, too. */
export interface Match {
  /** Where it is in the base. */
  readonly from: number;
  /** Where it begins in the data. */
  readonly place: number;
  readonly length: number;
  /** What it saves, in bytes. */
  readonly gain: number;
}

/** What a copy of a place of the base saves, in bytes, with the literal before it. */
export type Gain = (from: number, length: number, literal: number) => number;

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
export class Blocks {
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
