/**
 * TLS on sockets of `node:net`, as a `LiveStream`. The runtime's own TLS listener leaves Nagle's algorithm on, so that
 * answers wait for delayed acknowledgements; it cannot change its certificate; and it cannot read a PROXY header
 * before the handshake. `node:tls` opens and ends a connection; bytes go through the handle below its streams, which
 * would cost each message as much as TLS itself, and read without demand.
 */
import type { Server, Socket } from "node:net";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { type ByteStream, type LiveStream, PushedBytes } from "./byte_stream.ts";
import { handleOf, type NodeHandle, socketOn, type TcpHandle } from "./node_handle.ts";
import { Turns } from "../turns/fair_turns.ts";
import type { DoorOptions, TlsPair, Visitor } from "./door.ts";
import { NodeDoor } from "./node_door.ts";

/**
 * Runs the handshake; resolves with the stream inside TLS, and rejects if it fails. Nobody else may read the socket;
 * bytes that were put back come first.
 */
async function secureStream(tcp: Socket, secureContext: SecureContext): Promise<LiveStream> {
  // A limit closed the connection while it waited for its turn.
  if (tcp.destroyed) throw new Error("the connection has ended");
  const socket = new TLSSocket(tcp, { isServer: true, secureContext });
  const stream = new TlsStream(socket, tcp);
  await stream.secured;
  return stream;
}

/**
 * Ends a few connections per turn. Ending one costs more than a message, and a crowd that leaves at once must not delay
 * the others.
 */
const ends = new Turns(16);

class TlsStream extends PushedBytes implements LiveStream {
  /** Resolves after the handshake. */
  readonly secured: Promise<void>;
  readonly #socket: TLSSocket;
  readonly #tcp: Socket;
  #writer: ((error: Error) => void) | undefined;
  /** True if something was written after the peer's end. */
  #answered = false;
  #error: Error | undefined;

  constructor(socket: TLSSocket, tcp: Socket) {
    super();
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
      if (bytes !== undefined) return this.arrived(new Uint8Array(bytes), bytes.byteLength);
      ends.wait(() => {
        this.end();
        reject(new Error("the connection ended within the handshake"));
      });
    };
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      const handle = handleOf(this.#socket);
      if (this.#error !== undefined) return reject(this.#error);
      // Without a handle this must reject: a caller that waits until all is accepted would retry for ever.
      if (handle === null) return reject(new Error("the connection has ended"));
      // A write of no bytes would never complete.
      if (bytes.length === 0) return resolve(0);
      this.#answered ||= this.is_ended;
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

  protected start(): void {
    if (this.#error !== undefined) this.tellEnd();
    else handleOf(this.#tcp)?.readStart();
  }

  protected stop(): void {
    handleOf(this.#tcp)?.readStop();
  }

  protected problem(): Error | undefined {
    return this.#error;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.write(bytes).then(() => this.sink?.written(), () => this.tellEnd());
    return false;
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    const socket = this.#socket;
    // A peer that reads nothing would keep the queue, and the connection, for ever. A peer that disconnected, and to
    // which nothing was written since, receives no end.
    const reads = !this.is_ended || this.#answered;
    const now = !reads || this.#writer !== undefined;
    this.sink = undefined;
    this.#break(new Error("the connection was closed here"));
    // TLS tells the peer that nothing was cut off.
    if (!now) socket.end();
    ends.wait(() => socket.destroy());
  }

  #break(error: Error): void {
    this.#error ??= error;
    this.reader?.reject(error);
    this.reader = undefined;
    this.#writer?.(error);
    this.#writer = undefined;
    this.tellEnd();
  }
}

/** A paused socket with one owner, until it is released. */
class NodeStream extends PushedBytes implements ByteStream {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    // The socket's "close" follows an error, also after the release.
    socket.on("error", ignore);
  }

  protected start(): void {
    const socket = this.#socket;
    if (socket.listenerCount("data") === 0) {
      socket.on("data", this.#onData);
      socket.on("end", this.#onEnd);
      socket.on("close", this.#onEnd);
    }
    socket.resume();
  }

  protected stop(): void {
    this.#socket.pause();
  }

  protected problem(): undefined {}

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    this.reader?.reject(new Error("the connection was closed here"));
    this.reader = undefined;
    this.#socket.destroy();
  }

  /** Returns the socket in its first state, with the unread bytes. After that the stream may only be closed. */
  release(): Socket {
    const socket = this.#socket;
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onEnd);
    if (this.rest !== undefined) socket.unshift(this.rest);
    return socket;
  }

  readonly #onData = (bytes: Uint8Array<ArrayBuffer>) => this.arrived(bytes, bytes.length);
  readonly #onEnd = () => this.end();
}

function ignore(): void {}

/** Handshakes that begin in one turn of the event loop; other work runs between them. */
const HANDSHAKES_A_TURN = 4;

/** A door with TLS of our own. */
export class TlsDoor extends NodeDoor {
  #context: SecureContext;
  /** The fair queue of connections that wait for their handshake. */
  readonly #beginning = new Turns(HANDSHAKES_A_TURN);

  constructor(options: DoorOptions, server: Server, pair: TlsPair) {
    super(options, server);
    this.#context = createSecureContext({ ...pair });
  }

  override renew(pair: TlsPair): Promise<void> {
    this.#context = createSecureContext({ ...pair });
    return Promise.resolve();
  }

  protected override take(handle: TcpHandle): Pick<Visitor, "stream" | "secure"> {
    const stream = new NodeStream(socketOn(handle));
    const secure = async () => {
      await this.#beginning.later();
      return await secureStream(stream.release(), this.#context);
    };
    return { stream, secure };
  }
}
