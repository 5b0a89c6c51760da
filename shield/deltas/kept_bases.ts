/**
 * Which data one connection still has, where it has said how many bytes of it it keeps: that which came last.
 * Both sides count alike, so that nobody has to say what was let go. What the data is is `deltas.ts`'s.
 */

/** What data takes beside its bytes. */
const DATA_BYTES = 256;

/** The numbers of the data that a connection has, those that came first in front. */
export class KeptBases {
  readonly bytes_max: number;
  readonly #sizes = new Map<number, number>();
  readonly #letGo: () => void;
  #bytes = 0;

  /** `letGo` is called with each data that has to go before another takes its place. */
  constructor(bytes_max: number, letGo: () => void) {
    this.bytes_max = bytes_max;
    this.#letGo = letGo;
  }

  /** Whether data of so many bytes is kept at all. */
  fits(length: number): boolean {
    return length + DATA_BYTES <= this.bytes_max;
  }

  has(number: number): boolean {
    return this.#sizes.has(number);
  }

  /** Takes note of data that was sent, in place of what was kept at its place; 0: that was nothing. */
  replace(before: number, number: number, length: number): void {
    this.#forget(before);
    this.#sizes.set(number, length + DATA_BYTES);
    this.#bytes += length + DATA_BYTES;
    for (const [oldest] of this.#sizes) {
      if (this.#bytes <= this.bytes_max) return;
      this.#forget(oldest);
      this.#letGo();
    }
  }

  #forget(number: number): void {
    this.#bytes -= this.#sizes.get(number) ?? 0;
    this.#sizes.delete(number);
  }
}
