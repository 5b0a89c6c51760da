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

/** The most bytes that a loop copies sooner than the engine, which has to be given a view. */
const LOOP_BYTES_MAX = 1_024;

/** The buffer that was copied from last, for reading words that begin anywhere in it. */
let copied: ArrayBuffer | undefined;
let anywhere = new DataView(new ArrayBuffer(0));

function anywhereIn(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  if (bytes.buffer !== copied) {
    copied = bytes.buffer;
    anywhere = new DataView(copied);
  }
  return anywhere;
}

/**
 * Copies so many bytes from `source`, from `from`, to `target`, from `start`, and undoes their mask;
 * returns the mask for the byte that follows.
 */
export function copyUnmasked(
  target: Uint8Array<ArrayBuffer>,
  start: number,
  source: Uint8Array<ArrayBuffer>,
  from: number,
  count: number,
  mask: number,
): number {
  const end = start + count;
  if (count > LOOP_BYTES_MAX) {
    target.set(source.subarray(from, from + count), start);
    return unmask(target, start, end, mask);
  }
  const distance = from - start;
  let at = start;
  let turned = mask;
  if (count >= WORDS_FROM_BYTES) {
    while ((target.byteOffset + at & 3) !== 0) {
      target[at] = (source[at + distance] as number) ^ (turned >>> 24);
      turned = turned << 8 | turned >>> 24;
      at++;
    }
    const all = wordsOf(target);
    const view = anywhereIn(source);
    const word = swapped(turned);
    const first = target.byteOffset + at >>> 2;
    const last = first + (end - at >>> 2);
    let place = source.byteOffset + at + distance;
    for (let index = first; index < last; index++, place += 4) {
      all[index] = view.getInt32(place, true) ^ word;
    }
    at += 4 * (last - first);
  }
  for (; at < end; at++) {
    target[at] = (source[at + distance] as number) ^ (turned >>> 24);
    turned = turned << 8 | turned >>> 24;
  }
  return turned >>> 0;
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
