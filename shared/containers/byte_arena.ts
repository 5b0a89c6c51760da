/**
 * Small byte arrays that live for a moment, cut from larger ones. Making an array with a buffer of
 * its own takes about as long as everything else that happens to a message. Not for what is kept: a
 * piece holds its whole slab in memory (`owned`).
 */

const SLAB_BYTES = 16_384;
/** Largest piece that is cut from a slab; a larger one gets a buffer of its own. */
export const PIECE_BYTES = 2_048;
/** Pieces begin at multiples of this, so that their bytes can be read as whole words. */
const WORD_BYTES = 4;

/** A large array from which zeroed pieces are cut; none is ever used again. */
export class ByteArena {
  #arena = new Uint8Array(0);
  #used = 0;
  #bytes = this.#arena;

  /** The array in which the last piece lies. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Takes a piece and returns where it begins in `bytes`. */
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
}

/**
 * Where messages lie on their way through this process: as they came, and as they leave. Both are cut from
 * the same bytes, since a copy within one buffer needs no view.
 */
export const passing_messages = new ByteArena();

/** A buffer that holds so much more than the bytes that are kept is not worth keeping. */
const WASTE_BYTES = 64;

let last: Uint8Array | undefined;
let last_copy: Uint8Array = new Uint8Array(0);

/**
 * The bytes in a buffer that holds little else, for keeping them. It is a copy if need be, and the
 * same copy when it is asked for again at once, as for all receivers of one message.
 */
export function owned(bytes: Uint8Array): Uint8Array {
  if (bytes.buffer.byteLength <= bytes.length + WASTE_BYTES) return bytes;
  if (bytes === last) return last_copy;
  last = bytes;
  return last_copy = bytes.slice();
}
