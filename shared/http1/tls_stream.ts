/**
 * A socket of `node:net`, or of `node:tls` on top of one, as a `ByteStream`. Nothing is read of it
 * before somebody asks.
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { SecureContext } from "node:tls";
import type { ByteStream } from "./byte_stream.ts";

/** Resolves when the TLS handshake is done; rejects when it fails. */
export function secureStream(tcp: Socket, secureContext: SecureContext): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    // On the socket's own handle: what is read and written passes no stream between the two.
    const socket = new TLSSocket(tcp, { isServer: true, secureContext });
    const stream = new NodeStream(socket, tcp);
    const onEnd = () => reject(new Error("the connection has ended"));
    socket.once("error", reject);
    socket.once("end", onEnd);
    socket.once("close", onEnd);
    socket.once("secure", () => {
      socket.off("error", reject);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      resolve(stream);
    });
    // An end is heard only by who reads.
    stream.listen();
  });
}

/** What Node and Deno call the system's side of a socket; null once it is closed. */
interface Handle {
  readStart(): number;
  readStop(): number;
}

function handleOf(socket: Socket): Handle | null {
  return (socket as unknown as { readonly _handle: Handle | null })._handle;
}

/** Its "close" follows. */
function ignore(): void {}

interface Reader {
  readonly into: Uint8Array<ArrayBuffer>;
  readonly resolve: (count: number | null) => void;
  readonly reject: (error: Error) => void;
}

/** A socket that belongs to nobody else. */
export class NodeStream implements ByteStream {
  readonly #socket: Socket;
  /** What it is on. */
  readonly #tcp: Socket;
  #reader: Reader | undefined;
  /** Has come and was not asked for yet; the socket is paused then. */
  #rest: Uint8Array | undefined;
  #ended = false;
  #error: Error | undefined;

  constructor(socket: Socket, tcp = socket) {
    this.#socket = socket;
    this.#tcp = tcp;
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onEnd);
    socket.on("error", this.#onError);
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const rest = this.#rest;
    if (rest !== undefined) {
      this.#rest = undefined;
      return Promise.resolve(this.#give(rest, into));
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(null);
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    this.#reader = { into, resolve, reject };
    if (this.#socket.listenerCount("data") === 0) this.listen();
    if (this.#socket.isPaused()) this.#resume();
    return promise;
  }

  /** Begins to read, for whoever asks next. */
  listen(): void {
    this.#socket.on("data", this.#onData);
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      this.#socket.write(bytes, (error) => {
        if (error === undefined || error === null) resolve(bytes.length);
        else reject(error);
      });
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    const socket = this.#socket;
    this.#onError(new Error("the connection was closed here"));
    // Whoever reads nothing would keep what waits, and the connection, for ever.
    if (socket.writableLength > 0 || socket.destroyed) return void socket.destroy();
    // A peer of TLS is told that nothing was cut off.
    socket.end();
    setImmediate(() => socket.destroy());
  }

  /** The socket as it was, for somebody else, with what was not read yet. */
  release(): Socket {
    const socket = this.#socket;
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onEnd);
    socket.off("error", this.#onError);
    socket.on("error", ignore);
    if (this.#rest !== undefined) socket.unshift(this.#rest);
    return socket;
  }

  #give(bytes: Uint8Array, into: Uint8Array<ArrayBuffer>): number {
    const count = Math.min(bytes.length, into.length);
    if (count < bytes.length) {
      this.#rest = bytes.subarray(count);
      bytes = bytes.subarray(0, count);
    }
    into.set(bytes);
    return count;
  }

  readonly #onData = (bytes: Uint8Array) => {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader === undefined) this.#rest = bytes;
    else reader.resolve(this.#give(bytes, reader.into));
    if (this.#rest !== undefined) this.#pause();
  };

  /**
   * A socket of TLS that is paused goes on reading, and keeps all that comes (Deno 2.9): what it is on
   * has to stop.
   */
  #pause(): void {
    this.#socket.pause();
    handleOf(this.#tcp)?.readStop();
  }

  #resume(): void {
    handleOf(this.#tcp)?.readStart();
    this.#socket.resume();
  }

  readonly #onEnd = () => {
    this.#ended = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
  };

  readonly #onError = (error: Error) => {
    this.#error ??= error;
    this.#reader?.reject(error);
    this.#reader = undefined;
  };
}
