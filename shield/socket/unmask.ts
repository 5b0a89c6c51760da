/** The mask of a client's frames (RFC 6455, 5.3). */

/** The least bytes for which a loop over words is faster than one over bytes. */
const WORDS_FROM_BYTES = 48;

/** The words of the buffer that was unmasked last: messages in a row are cut from the same. */
let buffer: ArrayBuffer | undefined;
let words = new Uint32Array(0);

function wordsOf(bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  if (bytes.buffer !== buffer) {
    buffer = bytes.buffer;
    words = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  }
  return words;
}

/** Undoes the mask from `start` to `end`; returns the mask for the byte that follows. */
export function unmask(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  end: number,
  mask: number,
): number {
  let at = start;
  let turned = mask;
  if (end - start >= WORDS_FROM_BYTES) {
    // Words are read at multiples of four of the buffer, in the machine's order: little-endian.
    while ((bytes.byteOffset + at & 3) !== 0) {
      bytes[at] = (bytes[at] as number) ^ (turned >>> 24);
      turned = turned << 8 | turned >>> 24;
      at++;
    }
    const all = wordsOf(bytes);
    const word = swapped(turned);
    const first = bytes.byteOffset + at >>> 2;
    const last = first + (end - at >>> 2);
    for (let index = first; index < last; index++) all[index] = (all[index] as number) ^ word;
    at += 4 * (last - first);
  }
  for (; at < end; at++) {
    bytes[at] = (bytes[at] as number) ^ (turned >>> 24);
    turned = turned << 8 | turned >>> 24;
  }
  return turned >>> 0;
}

/** The bytes of a word in the opposite order. */
function swapped(word: number): number {
  return (word >>> 24 | (word >>> 8 & 0xff00) | (word & 0xff00) << 8 | word << 24) >>> 0;
}
