/** Synchronous SHA-256 (FIPS 180-4), which for the short inputs of a tree is faster than WebCrypto. Pure. */

/** The constants of the rounds. */
// deno-fmt-ignore
export const K = /* @__PURE__ */ Int32Array.of(
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
);
/** The state before the first block. */
// deno-fmt-ignore
export const START = /* @__PURE__ */ Int32Array.of(
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
);
const BLOCK_BYTES = 64;
// Shared buffers, because an allocation takes as long as a hash.
const WORDS = /* @__PURE__ */ new Int32Array(64);
const STATE = /* @__PURE__ */ new Int32Array(8);
const REST = /* @__PURE__ */ new Uint8Array(2 * BLOCK_BYTES);

/** Adds a block of 64 bytes to the state. */
function mix(state: Int32Array, bytes: Uint8Array, start: number): void {
  for (let i = 0, at = start; i < 16; i++, at += 4) {
    WORDS[i] = bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
  }
  for (let i = 16; i < 64; i++) {
    const x = WORDS[i - 15]!;
    const y = WORDS[i - 2]!;
    const s0 = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3;
    const s1 = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10;
    WORDS[i] = s0 + s1 + WORDS[i - 16]! + WORDS[i - 7]!;
  }
  let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!;
  let e = state[4]!, f = state[5]!, g = state[6]!, h = state[7]!;
  for (let i = 0; i < 64; i++) {
    const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
    const t1 = h + s1 + (g ^ e & (f ^ g)) + K[i]! + WORDS[i]! | 0;
    const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
    const t2 = s0 + (a & b | c & (a | b)) | 0;
    h = g;
    g = f;
    f = e;
    e = d + t1 | 0;
    d = c;
    c = b;
    b = a;
    a = t1 + t2 | 0;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
  state[5]! += f;
  state[6]! += g;
  state[7]! += h;
}

/** The 32 bytes of the hash. */
export function sha256(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = bytes;
  const whole = length - length % BLOCK_BYTES;
  STATE.set(START);
  for (let at = 0; at < whole; at += BLOCK_BYTES) mix(STATE, bytes, at);
  // The rest, a one, and the length in bits at the end of a block.
  for (let at = whole; at < length; at++) REST[at - whole] = bytes[at]!;
  const size = length - whole < 56 ? BLOCK_BYTES : 2 * BLOCK_BYTES;
  REST.fill(0, length - whole, size);
  REST[length - whole] = 0x80;
  for (let at = 1, bits = 8 * length; bits > 0; at++, bits = Math.floor(bits / 256)) {
    REST[size - at] = bits;
  }
  for (let at = 0; at < size; at += BLOCK_BYTES) mix(STATE, REST, at);
  const hash = new Uint8Array(32);
  for (let at = 0; at < 32; at++) hash[at] = STATE[at >> 2]! >> 24 - 8 * (at & 3);
  return hash;
}
