/**
 * Bytes that are read by positions. They may begin before the envelope, so their type differs from `Uint8Array`, which
 * readers of whole envelopes accept.
 */
export interface SpannedBytes {
  readonly [at: number]: number;
  readonly length: number;
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  subarray(start: number, end: number): Uint8Array;
}
