/**
 * TLS on a socket of `node:net`, as a `LiveStream`. `node:tls` opens and ends it; bytes go through the handle below its
 * streams. The streams would cost each message as much as TLS itself, and read without demand. `tls_door.ts` accepts.
 */
import { concat } from "../containers/concat.ts";
import type { Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";
import type { ByteSink, LiveStream } from "./byte_stream.ts";
import { handleOf, type NodeHandle } from "./node_handle.ts";
import { Turns } from "../turns/fair_turns.ts";

/**
 * Runs the handshake; resolves with the stream inside TLS, and rejects if it fails. Nobody else may read the socket;
 * bytes that were put back come first.
 */
export async function secureStream(tcp: Socket, secureContext: SecureContext): Promise<LiveStream> {
  // A limit closed the connection while it waited for its turn.
  if (tcp.destroyed) throw new Error("the connection has ended");
  const socket = new TLSSocket(tcp, { isServer: true, secureContext });
  const stream = new TlsStream(socket, tcp);
  await stream.secured;
  return stream;
}

interface Reader {
  readonly into: Uint8Array<ArrayBuffer>;
  readonly resolve: (count: number | null) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Ends a few connections per turn. Ending one costs more than a message, and a crowd that leaves at once must not delay
 * the others.
 */
const ends = new Turns(16);

class TlsStream implements LiveStream {
  /** Resolves after the handshake. */
  readonly secured: Promise<void>;
  readonly #socket: TLSSocket;
  readonly #tcp: Socket;
  #sink: ByteSink | undefined;
  #paused = false;
  #reader: Reader | undefined;
  #writer: ((error: Error) => void) | undefined;
  /** Arrived bytes that were not read yet; reading pauses meanwhile. */
  #rest: Uint8Array<ArrayBuffer> | undefined;
  #ended = false;
  /** True if something was written after the peer's end. */
  #answered = false;
  #error: Error | undefined;

  constructor(socket: TLSSocket, tcp: Socket) {
    this.#socket = socket;
    this.#tcp = tcp;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.secured = promise;
    socket.once("secure", resolve);
    socket.on("error", (error) => {
      this.#break(error);
      reject(error);
    });
    socket.on("close", () => {
      this.#break(new Error("the connection has ended"));
      reject(this.#error as Error);
    });
    const handle = handleOf(socket) as NodeHandle;
    handle.onread = (bytes) => {
      if (bytes !== undefined) return this.#take(new Uint8Array(bytes));
      ends.wait(() => {
        this.#end();
        reject(new Error("the connection ended within the handshake"));
      });
    };
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const rest = this.#rest;
    if (rest !== undefined) {
      this.#rest = undefined;
      return Promise.resolve(this.#give(rest, into));
    }
    if (this.#ended) return Promise.resolve(null);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    this.#reader = { into, resolve, reject };
    handleOf(this.#tcp)?.readStart();
    return promise;
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      const handle = handleOf(this.#socket);
      if (this.#error !== undefined) return reject(this.#error);
      // Without a handle this must reject: a caller that waits until all is accepted would retry for ever.
      if (handle === null) return reject(new Error("the connection has ended"));
      // A write of no bytes would never complete.
      if (bytes.length === 0) return resolve(0);
      this.#answered ||= this.#ended;
      this.#writer = reject;
      const oncomplete = (problem: number) => {
        this.#writer = undefined;
        if (problem === 0) resolve(bytes.length);
        else reject(new Error(`the connection broke (${problem})`));
      };
      const problem = handle.writeBuffer({ oncomplete }, bytes);
      if (problem !== 0) oncomplete(problem);
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
    handleOf(this.#tcp)?.readStop();
  }

  resume(): void {
    this.#paused = false;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#take(rest);
    if (this.#paused) return;
    if (this.#ended || this.#error !== undefined) this.#tellEnd();
    else handleOf(this.#tcp)?.readStart();
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.write(bytes).then(() => this.#sink?.written(), () => this.#tellEnd());
    return false;
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    const socket = this.#socket;
    // A peer that reads nothing would keep the queue, and the connection, for ever. A peer that disconnected, and to
    // which nothing was written since, receives no end.
    const reads = !this.#ended || this.#answered;
    const now = !reads || this.#writer !== undefined;
    this.#sink = undefined;
    this.#break(new Error("the connection was closed here"));
    // TLS tells the peer that nothing was cut off.
    if (!now) socket.end();
    ends.wait(() => socket.destroy());
  }

  #take(bytes: Uint8Array<ArrayBuffer>): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader !== undefined) reader.resolve(this.#give(bytes, reader.into));
    else if (this.#sink === undefined || this.#paused) this.#keep(bytes);
    else this.#hand(this.#sink, bytes);
  }

  /** Pushes bytes to the sink. A sink that throws has a bug, which must not end the process. */
  #hand(sink: ByteSink, bytes: Uint8Array<ArrayBuffer>): void {
    try {
      sink.arrived(bytes, bytes.length);
    } catch {
      this.close();
      sink.ended();
    }
  }

  #give(bytes: Uint8Array<ArrayBuffer>, into: Uint8Array<ArrayBuffer>): number {
    if (bytes.length <= into.length) {
      into.set(bytes);
      return bytes.length;
    }
    into.set(bytes.subarray(0, into.length));
    this.#keep(bytes.subarray(into.length));
    return into.length;
  }

  /** Keeps bytes for a later read; until then the system keeps what follows. */
  #keep(bytes: Uint8Array<ArrayBuffer>): void {
    this.#rest = this.#rest === undefined ? bytes : concat([this.#rest, bytes]);
    handleOf(this.#tcp)?.readStop();
  }

  #end(): void {
    this.#ended = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
    this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.#paused) return;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.ended();
  }

  #break(error: Error): void {
    this.#error ??= error;
    this.#reader?.reject(error);
    this.#reader = undefined;
    this.#writer?.(error);
    this.#writer = undefined;
    this.#tellEnd();
  }
}
