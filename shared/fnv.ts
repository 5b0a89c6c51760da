/**
 * FNV-1a with 32 bits, and a finalizer that mixes its bits. The same in every process and version: owners of rooms and
 * sampled traces depend on it. Not collision resistant: do not use it where a client gains by choosing the input.
 */

const START = 0x811c9dc5;
const PRIME = 0x01000193;

/** The hash of a text's UTF-16 units, which are its bytes when it is ASCII, continued from `seed`. */
export function fnvText(text: string, seed: number = START): number {
  let bits = seed;
  for (let at = 0; at < text.length; at++) bits = Math.imul(bits ^ text.charCodeAt(at), PRIME);
  return bits;
}

/** The hash of bytes, of those from `start` to `end`. */
export function fnvBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  let bits = START;
  for (let at = start; at < end; at++) bits = Math.imul(bits ^ bytes[at]!, PRIME);
  return bits;
}

/**
 * The finalizer of MurmurHash3, at least 0: every bit of the input changes half of the output's. FNV
 * alone leaves neighbours near each other.
 */
export function mixBits(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
