/** The unread bytes of a connection, in one reused buffer. */
import type { ByteStream } from "./byte_stream.ts";

/** The size of the first buffer, enough for most requests. */
const READ_BYTES = 4_096;

/** Shared by all without bytes. */
export const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** The unread bytes of one connection. */
export class Inbound {
  readonly #stream: ByteStream;
  #buffer: Uint8Array<ArrayBuffer> = NOTHING;
  #start = 0;
  #end = 0;
  #reading: Promise<boolean> | undefined;

  constructor(stream: ByteStream, early: Uint8Array<ArrayBuffer>) {
    this.#stream = stream;
    this.#buffer = early;
    this.#end = early.length;
  }

  /** The unread bytes: a view that is valid until the next call of `more`. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Takes the first `count` bytes: a view that is valid as long as `bytes` is. */
  take(count: number): Uint8Array<ArrayBuffer> {
    const taken = this.#buffer.subarray(this.#start, this.#start + count);
    this.#start += count;
    return taken;
  }

  /** Takes all unread bytes, which then belong to the caller; the buffer is dropped. */
  release(): Uint8Array<ArrayBuffer> {
    const rest = this.bytes.slice();
    this.#buffer = NOTHING;
    this.#start = this.#end = 0;
    return rest;
  }

  /** Reads more bytes after the unread ones; false at the end. Concurrent calls share one read. */
  more(): Promise<boolean> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  async #read(): Promise<boolean> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    if (this.#end === 0 && this.#stream.readOwn !== undefined) {
      // An idle connection has no buffer.
      const bytes = await this.#stream.readOwn(READ_BYTES);
      if (bytes === null) return false;
      this.#buffer = bytes;
      this.#end = bytes.length;
      return true;
    }
    if (this.#end === this.#buffer.length) this.#makeRoom();
    const count = await this.#stream.read(this.#buffer.subarray(this.#end));
    if (count === null) return false;
    this.#end += count;
    return true;
  }

  /**
   * Makes room: moves the bytes to the front if half of the buffer is read, else doubles it. So a byte is moved a few
   * times at most.
   */
  #makeRoom(): void {
    const waiting = this.bytes;
    const larger = waiting.length > this.#buffer.length / 2;
    const buffer = larger || this.#buffer.length === 0
      ? new Uint8Array(Math.max(READ_BYTES, 2 * this.#buffer.length))
      : this.#buffer;
    buffer.set(waiting);
    this.#buffer = buffer;
    this.#end = waiting.length;
    this.#start = 0;
  }
}
