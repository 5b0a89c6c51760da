/** A socket of `node:net` as a `ByteStream`, for the bytes before TLS. It reads only on demand. */
import type { Socket } from "node:net";
import type { ByteStream } from "./byte_stream.ts";

interface Reader {
  readonly into: Uint8Array<ArrayBuffer>;
  readonly resolve: (count: number | null) => void;
  readonly reject: (error: Error) => void;
}

/** A paused socket with one owner, until it is released. */
export class NodeStream implements ByteStream {
  readonly #socket: Socket;
  #reader: Reader | undefined;
  #rest: Uint8Array | undefined;
  #ended = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    // The socket's "close" follows an error, also after the release.
    socket.on("error", ignore);
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const socket = this.#socket;
    if (socket.listenerCount("data") === 0) {
      socket.on("data", this.#onData);
      socket.on("end", this.#onEnd);
      socket.on("close", this.#onEnd);
    }
    return new Promise((resolve, reject) => {
      const rest = this.#rest;
      if (rest === undefined && this.#ended) return resolve(null);
      this.#reader = { into, resolve, reject };
      this.#rest = undefined;
      if (rest === undefined) socket.resume();
      else this.#onData(rest);
    });
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    this.#reader?.reject(new Error("the connection was closed here"));
    this.#reader = undefined;
    this.#socket.destroy();
  }

  /** Returns the socket in its first state, with the unread bytes. After that the stream may only be closed. */
  release(): Socket {
    const socket = this.#socket;
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onEnd);
    if (this.#rest !== undefined) socket.unshift(this.#rest);
    return socket;
  }

  readonly #onData = (bytes: Uint8Array) => {
    const reader = this.#reader;
    this.#reader = undefined;
    const count = Math.min(bytes.length, reader?.into.length ?? 0);
    if (count < bytes.length) {
      this.#rest = bytes.subarray(count);
      this.#socket.pause();
    }
    reader?.into.set(bytes.subarray(0, count));
    reader?.resolve(count);
  };

  readonly #onEnd = () => {
    this.#ended = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
  };
}

function ignore(): void {}
