/**
 * The connection of an upgrade as a stream of Node's, for packages that want one. What is written
 * before the connection is handed over waits. What the bytes mean is not known here.
 */
import { Duplex } from "node:stream";
import { closeQuietly, writeAll } from "./byte_stream.ts";
import type { ByteStream } from "./byte_stream.ts";
import type { UpgradeTaker } from "./exchange.ts";

/**
 * The size of a buffer. It is enough for most reads of a quiet connection; a full buffer is followed by
 * a larger one.
 */
const READ_BYTES = 2_048;
const READ_BYTES_MAX = 65_536;
/** What has come is pushed in such pieces: a reader that pauses has not parsed thousands of messages by then. */
const PUSHED_BYTES = 4_096;
const NOT_WRITING = Promise.resolve();

/** A stream for `BareUpgrade.take`, to be used at once. */
export class UpgradeDuplex extends Duplex implements UpgradeTaker {
  /** How many bytes were read after the request. */
  bytesRead = 0;
  #stream: ByteStream | undefined;
  #early: Uint8Array<ArrayBuffer> | undefined;
  /** True when a read waits for the connection. */
  #read_waits = false;
  #write_waits: (() => void) | undefined;
  #buffer = new Uint8Array(READ_BYTES);
  #writing: Promise<void> = NOT_WRITING;
  #over: (() => void) | undefined;

  lost(): void {
    this.destroy();
  }

  run(stream: ByteStream, early: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#stream = stream;
    if (early.length > 0) this.#early = early;
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.destroyed) {
      closeQuietly(stream);
      resolve();
      return promise;
    }
    this.#over = resolve;
    this.#write_waits?.();
    this.#write_waits = undefined;
    if (this.#read_waits) this._read();
    return promise;
  }

  override _read(): void {
    const stream = this.#stream;
    this.#read_waits = stream === undefined;
    if (stream === undefined) return;
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) return this.#arrived(early);
    const buffer = this.#buffer;
    stream.read(buffer).then((count) => {
      if (count === null) return void this.push(null);
      this.#buffer = bufferAfter(buffer, count);
      this.#arrived(buffer.subarray(0, count));
    }, (error) => this.destroy(error));
  }

  override _write(chunk: Uint8Array<ArrayBuffer>, _: BufferEncoding, done: Done): void {
    this.#send([chunk], done);
  }

  override _writev(chunks: { chunk: Uint8Array<ArrayBuffer> }[], done: Done): void {
    this.#send(chunks.map(({ chunk }) => chunk), done);
  }

  override _final(done: Done): void {
    if (this.#stream === undefined) return done();
    this.#stream.closeWrite().then(() => done(), () => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    if (this.#stream !== undefined) closeQuietly(this.#stream);
    this.#over?.();
    // A write that is under way ends first: until then its bytes count as waiting.
    this.#writing.then(() => done(error));
  }

  #arrived(bytes: Uint8Array<ArrayBuffer>): void {
    for (let at = 0; at < bytes.length; at += PUSHED_BYTES) {
      const piece = bytes.subarray(at, at + PUSHED_BYTES);
      this.bytesRead += piece.length;
      this.push(piece);
    }
  }

  #send(chunks: readonly Uint8Array<ArrayBuffer>[], done: Done): void {
    const stream = this.#stream;
    if (stream === undefined) {
      this.#write_waits = () => this.#send(chunks, done);
      return;
    }
    const [first] = chunks;
    const bytes = chunks.length === 1 && first !== undefined ? first : joined(chunks);
    this.#writing = writeAll(stream, bytes).then(() => done(), done);
  }
}

type Done = (error?: Error | null) => void;

/**
 * The buffer for the next read. What was pushed may be kept by its reader, so only the rest of a buffer
 * is used again.
 */
function bufferAfter(buffer: Uint8Array<ArrayBuffer>, count: number): Uint8Array<ArrayBuffer> {
  if (count === buffer.length) return new Uint8Array(READ_BYTES_MAX);
  const left = buffer.subarray(count);
  // A large buffer is not kept for a peer that has become quiet.
  const apt = buffer.buffer.byteLength === READ_BYTES || count >= READ_BYTES;
  return apt && left.length >= READ_BYTES / 2 ? left : new Uint8Array(READ_BYTES);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(chunks.reduce((bytes, { length }) => bytes + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
