/**
 * TCP on the bare handle of the runtime, as a `LiveStream`: no socket, no promise for a pending read, and one buffer
 * for all connections. `tls_stream.ts` has TLS; `listener.ts` accepts.
 */
import { socket_reads } from "../turns/next_turn.ts";
import { type LiveStream, PushedBytes } from "./byte_stream.ts";
import { isWriting, readCount, type TcpHandle } from "./node_handle.ts";

/** Every connection's bytes arrive here; they are passed on, or copied, before the next ones. */
const ARRIVING = new Uint8Array(65_536);

interface Writer {
  readonly resolve: (count: number) => void;
  readonly reject: (error: Error) => void;
}

interface Owned extends TcpHandle {
  stream: HandleStream;
}

/** One accepted connection. */
export class HandleStream extends PushedBytes implements LiveStream {
  readonly #handle: TcpHandle;
  #writer: Writer | undefined;
  /** Bytes being written: the system reads them until it has accepted all. */
  #writing: Uint8Array<ArrayBuffer> | undefined;
  #closed = false;

  constructor(handle: TcpHandle) {
    super();
    this.#handle = handle;
    (handle as Owned).stream = this;
    handle.useUserBuffer(ARRIVING);
    handle.onread = HandleStream.#onRead;
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(CLOSED_HERE);
      this.#writer = { resolve, reject };
      if (this.#write(bytes)) this.#taken(0, bytes.length);
    });
  }

  protected start(): void {
    if (!this.#closed && this.#handle.readStart() !== 0) this.end();
  }

  protected stop(): void {
    if (!this.#closed) this.#handle.readStop();
  }

  protected problem(): Error | undefined {
    return this.#closed ? CLOSED_HERE : undefined;
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
    this.sink = this.rest = undefined;
    this.#handle.close();
    this.reader?.reject(CLOSED_HERE);
    this.#writer?.reject(CLOSED_HERE);
    this.reader = this.#writer = undefined;
  }

  static #onRead(this: unknown): void {
    const { stream } = this as Owned;
    socket_reads.count++;
    const count = readCount();
    if (count > 0) stream.arrived(ARRIVING, count);
    else stream.end();
  }

  /** One request object for all writes: it receives the handle that has written. */
  static readonly #request = {
    oncomplete: (problem: number, handle: unknown) => (handle as Owned).stream.#taken(problem),
  };

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
      if (writer === undefined) this.sink?.written();
    } else {
      writer?.reject(new Error(`the connection broke (${problem})`));
      if (writer === undefined) this.end();
    }
  }
}

/** One for all: a stack for each of the strangers that are ended takes longer than ending them. */
const CLOSED_HERE = new Error("the connection was closed here");
