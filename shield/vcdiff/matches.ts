/**
 * Finds what data repeats: of what lies before it, the base and its own beginning, which run of bytes stands
 * here again. How that is written is `encode.ts`.
 */

/** Fewer bytes are not looked for. */
export const MATCH_MIN = 4;
/** A match of so many bytes is taken without a look for a better one. */
export const MATCH_ENOUGH = 32;
/** Places that are tried for one beginning, the newest first: what is hard to find must not hold up others. */
const TRIES = 12;
/**
 * Steps for each byte of the base and the data, of which a feed takes three. When they are taken, what is left is
 * looked for only where it may well stand, and of every so many places at one more.
 */
const STEPS_PER_BYTE = 6;
const STRIDE = 8;
const HASH_BITS_MIN = 8;
const HASH_BITS_MAX = 16;

/** What finding took. */
export interface Work {
  /** Bytes that were compared, and places that were looked at. */
  steps: number;
}

/** A run that stands earlier, too. */
export interface Match {
  /** Where it stands, in the base with the data behind it. */
  readonly from: number;
  readonly length: number;
  /** What it saves, in bytes. */
  readonly gain: number;
}

/** How many bytes it takes to name a place, of a copy that is written at another. */
export type PlaceCost = (from: number, at: number) => number;

/** The runs of one base and the data behind it. Places are those in `all`, which has both. */
export class Matches {
  readonly #all: Uint8Array;
  readonly #base_length: number;
  readonly #shift: number;
  /** The newest place of each hash, and before each place the one of the same hash, plus 1; 0: none. */
  readonly #heads: Int32Array;
  readonly #before: Int32Array;
  #known: number;
  readonly #steps_max: number;
  readonly #work: Work;

  constructor(all: Uint8Array, base_length: number, work: Work = { steps: 0 }) {
    this.#work = work;
    this.#all = all;
    this.#base_length = base_length;
    const bits = Math.ceil(Math.log2(all.length + 1));
    const hash_bits = Math.min(HASH_BITS_MAX, Math.max(HASH_BITS_MIN, bits));
    this.#shift = 32 - hash_bits;
    this.#heads = new Int32Array(1 << hash_bits);
    this.#before = new Int32Array(all.length);
    this.#known = 0;
    this.#steps_max = work.steps + STEPS_PER_BYTE * all.length;
  }

  /** The best match at a place; `likely` is where it may well stand. Undefined: none is worth it. */
  at(place: number, likely: number, cost: PlaceCost): Match | undefined {
    // However hard the rest is to find, it costs little.
    const is_spent = this.#work.steps >= this.#steps_max;
    if (place + MATCH_MIN > this.#all.length) return undefined;
    let best = this.#better(undefined, likely, place, cost);
    if (is_spent && place % STRIDE !== 0) return best;
    this.#know(place, is_spent ? STRIDE : 1);
    let from = this.#heads[this.#hash(place)]! - 1;
    const tries_max = is_spent ? 1 : TRIES;
    for (let tries = 0; from >= 0 && tries < tries_max; tries++) {
      if (best !== undefined && best.length >= MATCH_ENOUGH) break;
      if (from !== likely) best = this.#better(best, from, place, cost);
      from = this.#before[from]! - 1;
    }
    return best;
  }

  #better(
    best: Match | undefined,
    from: number,
    place: number,
    cost: PlaceCost,
  ): Match | undefined {
    const all = this.#all;
    this.#work.steps++;
    if (from < 0 || from >= place) return best;
    const end = from < this.#base_length ? this.#base_length : all.length;
    const most = Math.min(end - from, all.length - place);
    // One that is no longer can save more only where its place is cheaper to name.
    const least = Math.max(MATCH_MIN, (best?.length ?? 0) - 2);
    if (most < least || all[from + least - 1] !== all[place + least - 1]) return best;
    let length = 0;
    while (length < most && all[from + length] === all[place + length]) length++;
    this.#work.steps += length;
    if (length < least) return best;
    const gain = length - 1 - cost(from, place);
    return gain > (best?.gain ?? 0) ? { from, length, gain } : best;
  }

  /** Takes note of the places before this one. */
  #know(place: number, stride: number): void {
    const last = Math.min(place, this.#all.length - MATCH_MIN + 1);
    for (; this.#known < last; this.#known += stride) {
      const hash = this.#hash(this.#known);
      this.#before[this.#known] = this.#heads[hash]!;
      this.#heads[hash] = this.#known + 1;
    }
  }

  #hash(at: number): number {
    const all = this.#all;
    const word = all[at]! | all[at + 1]! << 8 | all[at + 2]! << 16 | all[at + 3]! << 24;
    return Math.imul(word, 0x9e3779b1) >>> this.#shift;
  }
}
