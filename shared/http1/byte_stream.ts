/**
 * A connection as bytes in and bytes out: TCP as the runtime hands it over, or TLS by `node:tls` on
 * top of it. The runtime's own TLS listener cannot turn Nagle's algorithm off, cannot change its
 * certificate, and cannot read what a proxy says before the handshake. What the bytes mean is not
 * known here.
 */
import { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { SecureContext } from "node:tls";

/** `Deno.TcpConn` is one. */
export interface ByteStream {
  /** Bytes that have come, at most as many as there is room for; null at the end. One at a time. */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /** How many of the bytes were taken. They must not change before it resolves. One at a time. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Nothing more is written; the peer reads an end. */
  closeWrite(): Promise<void>;
  /** Ends it at once; what reads or writes rejects. Only once. */
  close(): void;
}

/** What arrives before the handshake and is not part of it. */
const CHUNK_BYTES = 16_384;

/** A TCP connection as the stream that `node:tls` wants. `early` has been read of it already. */
function duplexOf(conn: ByteStream, early: Uint8Array<ArrayBuffer>): Duplex {
  let before = early;
  let buffer = new Uint8Array(CHUNK_BYTES);
  return new Duplex({
    read() {
      if (before.length > 0) {
        const bytes = before;
        before = bytes.subarray(bytes.length);
        return void this.push(bytes);
      }
      conn.read(buffer).then((count) => {
        if (count === null) return void this.push(null);
        const bytes = buffer.subarray(0, count);
        // What is pushed may be kept: a buffer is used again only for what is left of it.
        buffer = buffer.length - count >= CHUNK_BYTES / 8
          ? buffer.subarray(count)
          : new Uint8Array(CHUNK_BYTES);
        this.push(bytes);
      }, (error) => this.destroy(error));
    },
    write(chunk: Uint8Array<ArrayBuffer>, _encoding, done) {
      writeAll(conn, chunk).then(() => done(), done);
    },
    final(done) {
      conn.closeWrite().then(() => done(), () => done());
    },
    destroy(error, done) {
      closeQuietly(conn);
      done(error);
    },
  });
}

/** Writes everything. Rejects when the stream does. */
export async function writeAll(
  stream: ByteStream,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await stream.write(rest));
}

/** Ends it, also when it has ended. */
export function closeQuietly(stream: ByteStream): void {
  try {
    stream.close();
  } catch {
    // It is gone, which was asked for.
  }
}

/** Resolves with the encrypted stream when the handshake is done; rejects when it fails. */
export async function acceptTls(
  conn: ByteStream,
  context: SecureContext,
  early: Uint8Array<ArrayBuffer>,
): Promise<ByteStream> {
  const socket = new TLSSocket(duplexOf(conn, early), { isServer: true, secureContext: context });
  const stream = new TlsStream(socket);
  await stream.secured;
  return stream;
}

/** `node:tls`'s socket, read only when somebody asks. */
class TlsStream implements ByteStream {
  readonly #socket: TLSSocket;
  readonly secured: Promise<void>;
  #rest: Uint8Array | undefined;
  #ended = false;
  #error: Error | undefined;
  /** Wakes the one who reads. */
  #wake: (() => void) | undefined;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.secured = new Promise((resolve, reject) => {
      socket.once("secure", () => resolve());
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the connection has ended")));
    });
    socket.on("readable", () => this.#wakeUp());
    socket.on("end", () => this.#finish());
    socket.on("close", () => this.#finish());
    socket.on("error", (error) => {
      this.#error ??= error;
      this.#finish();
    });
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    for (;;) {
      const bytes = this.#rest ?? this.#socket.read() as Uint8Array | null;
      if (bytes !== null) {
        const count = Math.min(bytes.length, into.length);
        into.set(bytes.subarray(0, count));
        this.#rest = count < bytes.length ? bytes.subarray(count) : undefined;
        return count;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new Error("the connection has ended"));
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
    this.#socket.destroy();
  }

  #finish(): void {
    this.#ended = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
