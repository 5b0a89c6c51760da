/** Diffs in VCDIFF (RFC 3284): one window over the whole base, the default code table, no secondary compression. */

const HEADER = [0xd6, 0xc3, 0xc4, 0, 0];
const VCD_SOURCE = 1;
/** The opcodes of the default code table. */
const ADD = 1;
const ADD_SIZE_MAX = 17;
const COPY = 19;
const COPY_MODE = 16;
const COPY_SIZE_MAX = 18;
/** An ADD of 1 to 4 and a COPY of 4 to 6 in one instruction for modes 0 to 5; a COPY of 4 for the other modes. */
const ADD_COPY = 163;
const ADD_COPY_SAME = 235;
const PAIR_ADD_MAX = 4;
const PAIR_COPY_MAX = 6;

class Bytes {
  bytes = new Uint8Array(256);
  length = 0;

  byte(value: number): void {
    this.#room(1);
    this.bytes[this.length++] = value;
  }

  number(value: number): void {
    for (let size = sizeOf(value); size > 0; size--) {
      this.byte((value >>> (7 * (size - 1))) & 0x7f | (size > 1 ? 0x80 : 0));
    }
  }

  put(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  toBytes(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  #room(size: number): void {
    const needed = this.length + size;
    if (needed <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
    bytes.set(this.bytes);
    this.bytes = bytes;
  }
}

/** The three sections of a window. */
class Window {
  readonly data = new Bytes();
  readonly instructions = new Bytes();
  readonly places = new Bytes();
  readonly addresses = new Addresses();

  /** Literal bytes, then a copy; either may be empty. */
  write(added: Uint8Array, from: number, length: number, at: number): void {
    this.data.put(added);
    const mode = length === 0 ? 0 : this.addresses.write(from, at, this.places);
    const pair = pairOf(added.length, length, mode);
    if (pair !== undefined) return this.instructions.byte(pair);
    if (added.length > 0) this.#sized(ADD, ADD + added.length, added.length <= ADD_SIZE_MAX, added);
    const copy = COPY + mode * COPY_MODE;
    const short = copy + length - MATCH_MIN + 1;
    if (length > 0) this.#sized(copy, short, length <= COPY_SIZE_MAX, { length });
  }

  #sized(long: number, short: number, is_short: boolean, { length }: { length: number }): void {
    this.instructions.byte(is_short ? short : long);
    if (!is_short) this.instructions.number(length);
  }
}

function pairOf(added: number, copied: number, mode: number): number | undefined {
  if (added < 1 || added > PAIR_ADD_MAX || copied < MATCH_MIN) return undefined;
  if (mode >= MODE_SAME) {
    if (copied > MATCH_MIN) return undefined;
    return ADD_COPY_SAME + (mode - MODE_SAME) * 4 + added - 1;
  }
  if (copied > PAIR_COPY_MAX) return undefined;
  return ADD_COPY + mode * 12 + (added - 1) * 3 + copied - MATCH_MIN;
}

/** The diff that turns `base` into `data`. It may be larger than the data. `work` receives the cost. */
export function createVcdiff(base: Uint8Array, data: Uint8Array, work?: Work): Uint8Array {
  const all = new Uint8Array(base.length + data.length);
  all.set(base);
  all.set(data, base.length);
  const window = new Window();
  const matches = new Matches(all, base.length, work);
  const { cost } = window.addresses;
  let added = base.length;
  let at = base.length;
  /** The distance of the last copy: after a few changed bytes, the same run often continues. */
  let back = base.length;
  while (at < all.length) {
    const found = matches.at(at, at - back, cost);
    if (found === undefined) at++;
    else {
      const later = found.length >= MATCH_ENOUGH
        ? undefined
        : matches.at(at + 1, at + 1 - back, cost);
      if (later !== undefined && later.gain > found.gain + 1) {
        at++;
        continue;
      }
      window.write(all.subarray(added, at), found.from, found.length, at);
      back = at - found.from;
      at += found.length;
      added = at;
    }
  }
  if (added < at) window.write(all.subarray(added, at), 0, 0, at);
  return assemble(window, base.length, data.length);
}

function assemble(
  { data, instructions, places }: Window,
  base_length: number,
  data_length: number,
): Uint8Array {
  const sections = [data, instructions, places];
  const lengths = [data_length, 0, ...sections.map(({ length }) => length)];
  const size = sum(lengths.map(sizeOf)) + sum(sections.map(({ length }) => length));
  const out = new Bytes();
  out.put(Uint8Array.from(HEADER));
  // Without a base the window has no source segment.
  out.byte(base_length > 0 ? VCD_SOURCE : 0);
  if (base_length > 0) {
    out.number(base_length);
    out.number(0);
  }
  out.number(size);
  for (const length of lengths) out.number(length);
  for (const section of sections) out.put(section.toBytes());
  return out.toBytes().slice();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

/** Shorter matches are not searched. */
const MATCH_MIN = 4;
/** A match of this many bytes is accepted without a search for a better one. */
const MATCH_ENOUGH = 32;
/** Positions that are tried for one start, newest first; the limit bounds the time of one diff. */
const TRIES = 12;
/**
 * The budget of steps for each byte of the base and the data; a feed takes three. Once it is spent, the search tries
 * only the likely position, and one more at every few positions.
 */
const STEPS_PER_BYTE = 6;
const STRIDE = 8;
const HASH_BITS_MIN = 8;
const HASH_BITS_MAX = 16;

interface Work {
  /** Compared bytes and tried positions. */
  steps: number;
}

/** A run that also occurs earlier. */
interface Match {
  /** Its position in the base followed by the data. */
  readonly from: number;
  readonly length: number;
  /** The bytes that it saves. */
  readonly gain: number;
}

/** The bytes that encode an address, for a copy at a given position. */
type PlaceCost = (from: number, at: number) => number;

/** The runs of one base followed by its data. Positions are those in `all`, which has both. */
class Matches {
  readonly #all: Uint8Array;
  readonly #base_length: number;
  readonly #shift: number;
  /** The newest position of each hash, and for each position the previous one of the same hash, plus 1; 0: none. */
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

  /** The best match at a position; `likely` is the position to try first. Undefined: no match saves bytes. */
  at(place: number, likely: number, cost: PlaceCost): Match | undefined {
    // Once the budget is spent, the rest costs little.
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
    // A match that is not longer can save more only if its address is shorter.
    const least = Math.max(MATCH_MIN, (best?.length ?? 0) - 2);
    if (most < least || all[from + least - 1] !== all[place + least - 1]) return best;
    let length = 0;
    while (length < most && all[from + length] === all[place + length]) length++;
    this.#work.steps += length;
    if (length < least) return best;
    const gain = length - 1 - cost(from, place);
    return gain > (best?.gain ?? 0) ? { from, length, gain } : best;
  }

  /** Indexes the positions before this one. */
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

// The shortest encoding of an address in VCDIFF (RFC 3284, section 5): relative to recent addresses, or equal to an
// earlier one.

const NEAR = 4;
const SAME = 3 * 256;
const MODE_HERE = 1;
const MODE_NEAR = 2;
/** The first of three modes whose address is one byte. */
const MODE_SAME = MODE_NEAR + NEAR;

/** The length of a number in VCDIFF: seven bits per byte, highest first. */
function sizeOf(value: number): number {
  return value < 0x80
    ? 1
    : value < 0x4000
    ? 2
    : value < 0x20_0000
    ? 3
    : value < 0x1000_0000
    ? 4
    : 5;
}

/** The address caches of an encoder. */
class Addresses {
  readonly #near = new Int32Array(NEAR);
  readonly #same = new Int32Array(SAME);
  #next = 0;

  /** The number of bytes that `write` emits. */
  readonly cost = (from: number, at: number): number => {
    if (this.#same[from % SAME] === from && from !== 0) return 1;
    let least = Math.min(from, at - from);
    for (let index = 0; index < NEAR; index++) {
      const ahead = from - this.#near[index]!;
      if (ahead >= 0 && ahead < least) least = ahead;
    }
    return sizeOf(least);
  };

  /** Records the address of a copy and writes its bytes to `put`. Returns its mode. */
  write(from: number, at: number, put: Put): number {
    const mode = this.#write(from, at, put);
    this.#near[this.#next] = from;
    this.#next = (this.#next + 1) % NEAR;
    this.#same[from % SAME] = from;
    return mode;
  }

  #write(from: number, at: number, put: Put): number {
    if (this.#same[from % SAME] === from && from !== 0) {
      put.byte(from % 256);
      return MODE_SAME + Math.floor((from % SAME) / 256);
    }
    let [mode, least] = at - from < from ? [MODE_HERE, at - from] : [0, from];
    for (let index = 0; index < NEAR; index++) {
      const ahead = from - this.#near[index]!;
      if (ahead >= 0 && ahead < least) [mode, least] = [MODE_NEAR + index, ahead];
    }
    put.number(least);
    return mode;
  }
}

/** The sink of bytes. */
interface Put {
  byte(value: number): void;
  number(value: number): void;
}
