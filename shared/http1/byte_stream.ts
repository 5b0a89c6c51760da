/**
 * A connection as bytes in and out: TCP from the runtime, `handle_stream.ts`, or `tls_stream.ts` over a socket of
 * Node's; and its unread bytes. Knows no protocol.
 */

import { concat } from "../containers/concat.ts";

/** A connection; `Deno.TcpConn` is one. */
export interface ByteStream {
  /** Reads available bytes, at most as many as fit; null at the end. One call at a time. */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /**
   * As `read`, with bytes that the caller may keep: no buffer is allocated before any come. Absent if that saves
   * nothing.
   */
  readOwn?(most: number): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Writes bytes, and resolves with the number accepted. They must not change before that. One call at a time. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Ends the sending direction; the peer reads an end. */
  closeWrite(): Promise<void>;
  /** Closes the connection at once; running reads and writes reject. Call it once. */
  close(): void;
}

/**
 * A connection that pushes arriving bytes. A pending read is a promise for each connection, which lives as long as the
 * client is silent; pushing needs none.
 */
export interface LiveStream extends ByteStream {
  /**
   * Pushes everything to the sink from now on: first `early`, which was read before, then arriving bytes. `read` and
   * `write` must not be called any longer.
   */
  flow(sink: ByteSink, early: Uint8Array<ArrayBuffer>): void;
  /** Stops pushing until `resume`; arriving bytes wait at the peer. */
  pause(): void;
  resume(): void;
  /**
   * Writes all of the bytes, which must not change meanwhile. True: the system has accepted them. False: the sink's
   * `written` is called once it has. One call at a time.
   */
  send(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** A connection whose peer only reads: nothing but its end comes back. */
export type OutStream = Pick<LiveStream, "flow" | "send" | "closeWrite" | "close">;

/** Receives a `LiveStream`, until that is closed here. */
export interface ByteSink {
  /** Bytes have arrived: those before `end`, valid until this returns. */
  arrived(bytes: Uint8Array<ArrayBuffer>, end: number): void;
  /** The bytes of the last `send` that returned false have been accepted. */
  written(): void;
  /** The last call: the peer has ended, or the connection is broken. */
  ended(): void;
}

/** A pending read. */
interface Reader {
  /** Called with the bytes before `count`, valid until it returns; null: the end. */
  readonly take: (bytes: Uint8Array<ArrayBuffer> | null, count: number) => void;
  readonly reject: (error: Error) => void;
}

/** The receiving half of a `LiveStream`: its pending read, sink and backlog. A broken connection reads as ended. */
export abstract class PushedBytes {
  protected sink: ByteSink | undefined;
  protected reader: Reader | undefined;
  /** Arrived bytes that were not read yet; reading pauses meanwhile. */
  protected rest: Uint8Array<ArrayBuffer> | undefined;
  protected paused = false;
  protected is_ended = false;

  /** Lets the system deliver bytes to `arrived`, and an end to `end`. */
  protected abstract start(): void;
  /** The system keeps what follows. */
  protected abstract stop(): void;
  /** Why nothing can be read or written any longer. */
  protected abstract problem(): Error | undefined;
  abstract close(): void;

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    return this.#next((bytes, count) => this.#give(bytes, count, into));
  }

  readOwn(most: number): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#next((bytes, count) => {
      const into = new Uint8Array(Math.min(count, most));
      this.#give(bytes, count, into);
      return into;
    });
  }

  flow(sink: ByteSink, early: Uint8Array<ArrayBuffer>): void {
    this.sink = sink;
    const { rest } = this;
    if (early.length > 0) this.rest = rest === undefined ? early : concat([early, rest]);
    if (!this.paused) this.resume();
  }

  pause(): void {
    this.paused = true;
    this.stop();
  }

  resume(): void {
    this.paused = false;
    const { sink, rest } = this;
    if (sink !== undefined && rest !== undefined) {
      this.rest = undefined;
      this.#hand(sink, rest, rest.length);
    }
    if (this.paused) return;
    if (this.is_ended) this.end();
    else this.start();
  }

  protected arrived(bytes: Uint8Array<ArrayBuffer>, count: number): void {
    const { reader, sink } = this;
    if (reader !== undefined) {
      this.reader = undefined;
      reader.take(bytes, count);
    } else if (sink !== undefined && !this.paused) {
      this.#hand(sink, bytes, count);
    } else {
      this.#keep(bytes.slice(0, count));
    }
  }

  protected end(): void {
    this.is_ended = true;
    this.reader?.take(null, 0);
    this.reader = undefined;
    this.tellEnd();
  }

  protected tellEnd(): void {
    if (this.paused) return;
    const { sink } = this;
    this.sink = undefined;
    sink?.ended();
  }

  #next<Read>(
    taken: (bytes: Uint8Array<ArrayBuffer>, count: number) => Read,
  ): Promise<Read | null> {
    const { rest } = this;
    if (rest !== undefined) {
      this.rest = undefined;
      return Promise.resolve(taken(rest, rest.length));
    }
    if (this.is_ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      const problem = this.problem();
      if (problem !== undefined) return reject(problem);
      const take: Reader["take"] = (bytes, count) =>
        resolve(bytes === null ? null : taken(bytes, count));
      this.reader = { take, reject };
      this.start();
    });
  }

  /** Pushes bytes to the sink. A sink that throws has a bug, which must not end the process. */
  #hand(sink: ByteSink, bytes: Uint8Array<ArrayBuffer>, count: number): void {
    try {
      sink.arrived(bytes, count);
    } catch {
      this.close();
      sink.ended();
    }
  }

  #give(bytes: Uint8Array<ArrayBuffer>, count: number, into: Uint8Array<ArrayBuffer>): number {
    const given = Math.min(count, into.length);
    into.set(bytes.subarray(0, given));
    if (given < count) this.#keep(bytes.slice(given, count));
    return given;
  }

  /** Keeps bytes for a later read. */
  #keep(bytes: Uint8Array<ArrayBuffer>): void {
    this.rest = this.rest === undefined ? bytes : concat([this.rest, bytes]);
    this.stop();
  }
}

/** Whether a stream pushes arriving bytes. */
export function isLive(stream: ByteStream): stream is LiveStream {
  return "flow" in stream;
}

/** Writes all of the bytes. Rejects as the stream does. */
export async function writeAll(stream: ByteStream, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await stream.write(rest));
}

/** Closes a stream, also one that has ended. */
export function closeQuietly(stream: { close(): void }): void {
  try {
    stream.close();
  } catch {
    // The stream has ended, which is what the caller wanted.
  }
}

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
