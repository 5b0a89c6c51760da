/**
 * Short-lived small byte arrays, cut from larger ones. Creating an array with its own buffer takes about as long as the
 * rest of the message path. Not for stored data: a piece retains its whole slab (`owned`).
 */

const SLAB_BYTES = 16_384;
/** Largest piece that is cut from a slab; a larger one gets its own buffer. */
export const PIECE_BYTES = 2_048;
/** Pieces begin at multiples of this, so that their bytes can be read as whole words. */
const WORD_BYTES = 4;

/** A large array from which zeroed pieces are cut; no piece is ever reused. */
export class ByteArena {
  #arena = new Uint8Array(0);
  #used = 0;
  #bytes = this.#arena;

  /** The array of the last piece. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Reserves a piece and returns its offset in `bytes`. */
  reserve(size_bytes: number): number {
    if (size_bytes > PIECE_BYTES) {
      this.#bytes = new Uint8Array(size_bytes);
      return 0;
    }
    if (this.#used + size_bytes > this.#arena.length) {
      this.#arena = new Uint8Array(SLAB_BYTES);
      this.#used = 0;
    }
    this.#bytes = this.#arena;
    const at = this.#used;
    this.#used = at + size_bytes + WORD_BYTES - 1 & -WORD_BYTES;
    return at;
  }

  /** A copy of bytes in a piece. */
  copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const at = this.reserve(bytes.length);
    const piece = this.#bytes.subarray(at, at + bytes.length);
    piece.set(bytes);
    return piece;
  }
}

/**
 * The arena of incoming and outgoing messages. Both are cut from the same bytes, because a copy within one buffer needs
 * no view.
 */
export const passing_messages = new ByteArena();

/** The most surplus bytes of a buffer that is kept without a copy. */
const WASTE_BYTES = 64;

let last: Uint8Array | undefined;
let last_copy: Uint8Array = new Uint8Array(0);

/**
 * The bytes in a buffer with little surplus, for storing them: a copy if necessary. Repeated calls return the same
 * copy, as for all receivers of one message.
 */
export function owned(bytes: Uint8Array): Uint8Array {
  if (bytes.buffer.byteLength <= bytes.length + WASTE_BYTES) return bytes;
  if (bytes === last) return last_copy;
  last = bytes;
  return last_copy = bytes.slice();
}
