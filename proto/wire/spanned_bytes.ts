/**
 * Bytes that are read by positions. They may begin before the envelope, and so are no `Uint8Array` that a reader of
 * whole envelopes would take.
 */
export interface SpannedBytes {
  readonly [at: number]: number;
  readonly length: number;
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  subarray(start: number, end: number): Uint8Array;
}
