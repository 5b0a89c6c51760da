/**
 * The shortest encoding of an address in VCDIFF (RFC 3284, section 5): relative to recent addresses, or equal to an
 * earlier one.
 */

const NEAR = 4;
const SAME = 3 * 256;
const MODE_HERE = 1;
const MODE_NEAR = 2;
/** The first of three modes whose address is one byte. */
const MODE_SAME = MODE_NEAR + NEAR;

/** The length of a number in VCDIFF: seven bits per byte, highest first. */
export function sizeOf(value: number): number {
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
export class Addresses {
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
