/**
 * Bounds the messages of a replication stream before the package assembles them: any role can write one of up to a
 * gigabyte into the database's log, and no setting of PostgreSQL bounds that. Pure.
 */
import { Buffer } from "node:buffer";

/** A message of the protocol begins with its kind and its length, which counts itself. */
const HEAD_BYTES = 5;
const LENGTH_BYTES = 4;
const COPY_DATA = "d".charCodeAt(0);

/** Returns the bytes of a connection in pieces, and of each longer copy-data message only the first `most` bytes. */
export class Copies {
  readonly #most: number;
  readonly #head = Buffer.alloc(HEAD_BYTES);
  /** Bytes of a head that were received. */
  #filled = 0;
  /** The next bytes that belong to the present message: passed on, then left out. */
  #passing = 0;
  #skipping = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** The first call begins with a message. */
  pieces(bytes: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    const split = this.#filled;
    /** The beginning of what is passed on as it is. */
    let from = 0;
    for (let at = 0; at < bytes.length;) {
      const left = bytes.length - at;
      if (this.#passing > 0) {
        const taken = Math.min(this.#passing, left);
        at += taken;
        this.#passing -= taken;
      } else if (this.#skipping > 0) {
        if (at > from) pieces.push(bytes.subarray(from, at));
        const taken = Math.min(this.#skipping, left);
        this.#skipping -= taken;
        from = at += taken;
      } else {
        const is_split = at === 0 && split > 0;
        const taken = Math.min(HEAD_BYTES - this.#filled, left);
        bytes.copy(this.#head, this.#filled, at, at + taken);
        this.#filled += taken;
        if (this.#filled < HEAD_BYTES) {
          if (at > from) pieces.push(bytes.subarray(from, at));
          return pieces;
        }
        this.#filled = 0;
        if (this.#begin() || is_split) {
          if (at > from) pieces.push(bytes.subarray(from, at));
          pieces.push(Buffer.from(this.#head));
          from = at + taken;
        }
        at += taken;
      }
    }
    if (bytes.length > from) pieces.push(bytes.subarray(from));
    return pieces;
  }

  /** Whether the message of this head is cut. */
  #begin(): boolean {
    const length = this.#head.readUInt32BE(1) - LENGTH_BYTES;
    this.#passing = this.#head[0] === COPY_DATA ? Math.min(length, this.#most) : length;
    this.#skipping = length - this.#passing;
    this.#head.writeUInt32BE(this.#passing + LENGTH_BYTES, 1);
    return this.#skipping > 0;
  }
}
