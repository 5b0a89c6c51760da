/** Adler-32 (RFC 1950, section 8.2), a checksum. */

const MODULUS = 65_521;
/** After this many bytes a sum could exceed 32 bits. */
const RUN = 5_552;

/** The checksum, from 0 to 2^32-1. */
export function adler32(bytes: Uint8Array): number {
  let low = 1;
  let high = 0;
  for (let start = 0; start < bytes.length; start += RUN) {
    const end = Math.min(start + RUN, bytes.length);
    for (let at = start; at < end; at++) {
      low += bytes[at]!;
      high += low;
    }
    low %= MODULUS;
    high %= MODULUS;
  }
  return (high << 16 | low) >>> 0;
}
