/**
 * The data that diffs are from, of all rooms of one connection: that which came last, within a bound that the
 * Shield knows. It counts as this does, so that no diff is from what was let go.
 */

/** What data takes beside its bytes. */
const DATA_BYTES = 256;

/** Data that is kept, and what it is called. */
interface Base {
  readonly number: number;
  readonly data: Uint8Array;
}

/** The data of each slot of each room, those that came first in front. */
export class Bases {
  readonly #bytes_max: number;
  readonly #bases = new Map<string, Base>();
  #bytes = 0;

  constructor(bytes_max: number) {
    this.#bytes_max = bytes_max;
  }

  get(room: string, slot: number): Base | undefined {
    return this.#bases.get(keyOf(room, slot));
  }

  /** Keeps data in place of what was kept at its slot. */
  set(room: string, slot: number, base: Base): void {
    this.delete(room, slot);
    this.#bases.set(keyOf(room, slot), base);
    this.#bytes += base.data.length + DATA_BYTES;
    for (const [oldest, { data }] of this.#bases) {
      if (this.#bytes <= this.#bytes_max) return;
      this.#drop(oldest, data);
    }
  }

  delete(room: string, slot: number): void {
    const key = keyOf(room, slot);
    const before = this.#bases.get(key);
    if (before !== undefined) this.#drop(key, before.data);
  }

  /** Keeps only what is of these rooms. */
  keep(isHeard: (room: string) => boolean): void {
    for (const [key, { data }] of this.#bases) {
      if (!isHeard(key.slice(key.indexOf(" ") + 1))) this.#drop(key, data);
    }
  }

  #drop(key: string, data: Uint8Array): void {
    this.#bases.delete(key);
    this.#bytes -= data.length + DATA_BYTES;
  }
}

function keyOf(room: string, slot: number): string {
  return `${slot} ${room}`;
}
