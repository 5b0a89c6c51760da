/**
 * TCP on the bare handle of the runtime, as a `LiveStream`: no socket, no promise for a pending read, and one buffer
 * for all connections. `tls_stream.ts` has TLS; `listener.ts` accepts.
 */
import { concat } from "../containers/concat.ts";
import type { ByteSink, LiveStream } from "./byte_stream.ts";
import { socket_reads } from "../turns/next_turn.ts";
import { isWriting, readCount, type TcpHandle } from "./node_handle.ts";

/** Every connection's bytes arrive here; they are passed on, or copied, before the next ones. */
const ARRIVING = new Uint8Array(65_536);

interface Reader {
  /** Called with the number of bytes in `ARRIVING`; null: the end. */
  readonly take: (count: number | null) => void;
  readonly reject: (error: Error) => void;
}

interface Writer {
  readonly resolve: (count: number) => void;
  readonly reject: (error: Error) => void;
}

interface Owned extends TcpHandle {
  stream: HandleStream;
}

/** One accepted connection. A broken connection reads as ended. */
export class HandleStream implements LiveStream {
  readonly #handle: TcpHandle;
  #sink: ByteSink | undefined;
  #reader: Reader | undefined;
  #writer: Writer | undefined;
  /** Bytes being written: the system reads them until it has accepted all. */
  #writing: Uint8Array<ArrayBuffer> | undefined;
  /** Arrived bytes that were not read yet; reading pauses meanwhile. */
  #rest: Uint8Array<ArrayBuffer> | undefined;
  #paused = false;
  #ended = false;
  #closed = false;

  constructor(handle: TcpHandle) {
    this.#handle = handle;
    (handle as Owned).stream = this;
    handle.useUserBuffer(ARRIVING);
    handle.onread = HandleStream.#onRead;
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const rest = this.#rest;
    if (rest !== undefined) {
      this.#rest = undefined;
      return Promise.resolve(this.#give(rest, rest.length, into));
    }
    return this.#next((count) => this.#give(ARRIVING, count, into));
  }

  readOwn(most: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const own = (bytes: Uint8Array<ArrayBuffer>, count: number) => {
      const into = new Uint8Array(Math.min(count, most));
      this.#give(bytes, count, into);
      return into;
    };
    const rest = this.#rest;
    if (rest === undefined) return this.#next((count) => own(ARRIVING, count));
    this.#rest = undefined;
    return Promise.resolve(own(rest, rest.length));
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(CLOSED_HERE);
      this.#writer = { resolve, reject };
      if (this.#write(bytes)) this.#taken(0, bytes.length);
    });
  }

  flow(sink: ByteSink, early: Uint8Array<ArrayBuffer>): void {
    this.#sink = sink;
    const rest = this.#rest;
    if (early.length > 0) this.#rest = rest === undefined ? early : concat([early, rest]);
    if (!this.#paused) this.resume();
  }

  pause(): void {
    this.#paused = true;
    if (!this.#closed) this.#handle.readStop();
  }

  resume(): void {
    this.#paused = false;
    const rest = this.#rest;
    if (rest !== undefined) {
      this.#rest = undefined;
      this.#hand(rest, rest.length);
    }
    if (this.#paused || this.#closed) return;
    if (this.#ended || this.#handle.readStart() !== 0) this.#end();
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    return this.#write(bytes);
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => {
      const problem = this.#closed ? 1 : this.#handle.shutdown({ oncomplete: resolve });
      if (problem !== 0) resolve();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sink = this.#rest = undefined;
    this.#handle.close();
    this.#reader?.reject(CLOSED_HERE);
    this.#writer?.reject(CLOSED_HERE);
    this.#reader = this.#writer = undefined;
  }

  static #onRead(this: unknown): void {
    const { stream } = this as Owned;
    socket_reads.count++;
    const count = readCount();
    if (count > 0) stream.#arrived(count);
    else stream.#end();
  }

  /** One request object for all writes: it receives the handle that has written. */
  static readonly #request = {
    oncomplete: (problem: number, handle: unknown) => (handle as Owned).stream.#taken(problem),
  };

  #next<Read>(taken: (count: number) => Read): Promise<Read | null> {
    if (this.#ended) return Promise.resolve(null);
    if (this.#closed) return Promise.reject(CLOSED_HERE);
    return new Promise((resolve, reject) => {
      this.#reader = { take: (count) => resolve(count === null ? null : taken(count)), reject };
      if (this.#handle.readStart() !== 0) this.#end();
    });
  }

  #arrived(count: number): void {
    const reader = this.#reader;
    if (reader !== undefined) {
      this.#reader = undefined;
      reader.take(count);
    } else if (this.#sink !== undefined && !this.#paused) {
      this.#hand(ARRIVING, count);
    } else {
      this.#keep(ARRIVING.slice(0, count));
    }
  }

  /** Pushes bytes to the sink. A sink that throws has a bug, which must not end the process. */
  #hand(bytes: Uint8Array<ArrayBuffer>, count: number): void {
    const sink = this.#sink;
    try {
      sink?.arrived(bytes, count);
    } catch {
      this.close();
      sink?.ended();
    }
  }

  #give(bytes: Uint8Array<ArrayBuffer>, count: number, into: Uint8Array<ArrayBuffer>): number {
    const given = Math.min(count, into.length);
    into.set(bytes.subarray(0, given));
    if (given < count) this.#keep(bytes.slice(given, count));
    return given;
  }

  /** Keeps bytes for a later read; until then the system keeps what follows. */
  #keep(bytes: Uint8Array<ArrayBuffer>): void {
    this.#rest = this.#rest === undefined ? bytes : concat([this.#rest, bytes]);
    if (!this.#closed) this.#handle.readStop();
  }

  #end(): void {
    this.#ended = true;
    this.#reader?.take(null);
    this.#reader = undefined;
    if (this.#paused) return;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.ended();
  }

  /** True once all is written. */
  #write(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#writing = bytes;
    const problem = this.#handle.writeBuffer(HandleStream.#request, bytes);
    if (problem === 0 && isWriting()) return false;
    this.#writing = undefined;
    if (problem === 0) return true;
    // In a turn of its own: the caller knows of this write only when it returns.
    queueMicrotask(() => this.#taken(problem));
    return false;
  }

  #taken(problem: number, count: number = this.#writing?.length ?? 0): void {
    this.#writing = undefined;
    // Closing ends writes, and reports that.
    if (this.#closed) return;
    const writer = this.#writer;
    this.#writer = undefined;
    if (problem === 0) {
      writer?.resolve(count);
      if (writer === undefined) this.#sink?.written();
    } else {
      writer?.reject(new Error(`the connection broke (${problem})`));
      if (writer === undefined) this.#end();
    }
  }
}

/** One for all: a stack for each of the strangers that are ended takes longer than ending them. */
const CLOSED_HERE = new Error("the connection was closed here");
