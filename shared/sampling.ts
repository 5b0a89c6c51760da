/**
 * Coherent sampling: the same key is always in or always out, on every node, and a smaller fraction picks a subset of
 * what a larger one picks. Pure. Not for security: a client that chooses the key can choose whether it is sampled.
 */
import xxhash from "xxhash-wasm";

const { h64 } = await xxhash();
/** A fraction has 53 bits; the hash has 64. */
const FRACTION_UNITS = 2 ** 53;
const SHIFT = 11n;

/**
 * The threshold for a fraction: hashes below it are in. 0 for a fraction of 0, 2^64 (all) for 1.
 * Throws RangeError outside [0, 1].
 */
export function samplingThreshold(fraction: number): bigint {
  if (!(fraction >= 0 && fraction <= 1)) throw new RangeError(`not a fraction: ${fraction}`);
  return BigInt(Math.floor(fraction * FRACTION_UNITS)) << SHIFT;
}

/** The hash of a key: xxHash64 (seed 0) of its UTF-8 bytes. */
export function samplingHash(key: string): bigint {
  return h64(key);
}

/**
 * Whether a key is in the sample; true for `fraction` of all keys. The key is the trace id, or the
 * connection id where a client sent no trace. Throws RangeError unless the fraction is in [0, 1].
 */
export function isSampled(key: string, fraction: number): boolean {
  if (fraction === 1) return true;
  if (fraction === 0) return false;
  return h64(key) < samplingThreshold(fraction);
}
