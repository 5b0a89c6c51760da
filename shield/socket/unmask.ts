/** The mask of a client's frames (RFC 6455, 5.3). */

/** The least bytes for which a loop over words is faster than one over bytes. */
const WORDS_FROM_BYTES = 48;

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
    while ((bytes.byteOffset + at) % 4 !== 0) {
      bytes[at] = (bytes[at] as number) ^ (turned >>> 24);
      turned = turned << 8 | turned >>> 24;
      at++;
    }
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, (end - at) >>> 2);
    const word = swapped(turned);
    for (let index = 0; index < words.length; index++) {
      words[index] = (words[index] as number) ^ word;
    }
    at += 4 * words.length;
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
