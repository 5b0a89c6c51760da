/**
 * Where connections that speak TLS are accepted: by `node:net`, on whose sockets `node:tls` works
 * without a stream in between. The runtime's own TLS listener leaves Nagle's algorithm on, so that
 * answers wait for acknowledgements that peers delay, cannot change its certificate, and cannot read
 * what a proxy says before the handshake.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { createSecureContext } from "node:tls";
import type { SecureContext } from "node:tls";
import type { TlsPair } from "../tls_reload.ts";
import type { Door, DoorOptions } from "./door.ts";
import { NodeStream, secureStream } from "./tls_stream.ts";

/** How many handshakes begin in one turn of the event loop: others have their turn between them. */
const HANDSHAKES_A_TURN = 4;
/** How often the listener is woken. */
const WAKE_MS = 250;
const BACKLOG = 511;
/** Times in a row that there was no descriptor, some 30 s of them: it will not come back. */
const FAILURES_MAX = 120;

/** Rejects with the runtime's own error when the address is taken, forbidden or not of this machine. */
export async function openTlsDoor(options: DoorOptions, pair: TlsPair): Promise<Door> {
  const { host, port, reuse_port: reusePort } = options;
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort, backlog: BACKLOG }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return new TlsDoor(options, server, pair);
}

class TlsDoor implements Door {
  readonly port: number;
  readonly #options: DoorOptions;
  readonly #server: Server;
  readonly #timer: ReturnType<typeof setInterval>;
  #context: SecureContext;
  #accept_failures = 0;
  /** In a row. */
  #failures = 0;
  /** Somebody has come since it was woken. */
  #came = false;
  /** Whose handshakes are to begin. */
  #waiting: (() => void)[] = [];

  constructor(options: DoorOptions, server: Server, pair: TlsPair) {
    this.#options = options;
    this.#server = server;
    this.#context = createSecureContext({ ...pair });
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket: Socket) => this.#accept(socket));
    server.on("error", () => this.#accept_failures++);
    this.#timer = setInterval(() => this.#wake(), WAKE_MS);
  }

  get accept_failures(): number {
    return this.#accept_failures;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#server.close();
  }

  renew(pair: TlsPair): void {
    this.#context = createSecureContext({ ...pair });
  }

  /**
   * A listener that once got no descriptor for a connection is told of no further one (Deno 2.9), and
   * does not say so. Asked to listen again, it looks at its queue.
   */
  #wake(): void {
    const { _handle: handle } = this.#server as unknown as { _handle: Handle | null };
    const problem = handle === null ? "closed" : handle.listen(BACKLOG);
    if (problem !== 0) return this.#end(`it cannot listen any more (${problem})`);
    if (this.#came || hasDescriptor()) this.#failures = 0;
    else {
      this.#accept_failures++;
      if (++this.#failures > FAILURES_MAX) this.#end("too many open files");
    }
    this.#came = false;
  }

  #end(problem: string): void {
    clearInterval(this.#timer);
    this.#options.onGone(new Error(problem));
  }

  #accept(socket: Socket): void {
    this.#came = true;
    const { remoteAddress: hostname, remotePort: port } = socket;
    const stream = new NodeStream(socket);
    // The peer has reset it meanwhile.
    if (hostname === undefined || port === undefined) return stream.close();
    this.#options.onVisitor({
      stream,
      remoteAddr: { transport: "tcp", hostname, port },
      secure: async (early) => {
        await this.#turn();
        return await secureStream(stream.release(), this.#context, early);
      },
    });
  }

  /** Resolves when it is its turn, in the order in which they came. */
  #turn(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(this.#begin);
    });
  }

  readonly #begin = () => {
    const now = this.#waiting.slice(0, HANDSHAKES_A_TURN);
    this.#waiting = this.#waiting.slice(HANDSHAKES_A_TURN);
    for (const begin of now) begin();
    if (this.#waiting.length > 0) setImmediate(this.#begin);
  };
}

interface Handle {
  /** 0, or what went wrong. */
  listen(backlog: number): number;
}

/** Whether the system gives out another one; true also where only permissions are missing. */
function hasDescriptor(): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port: 0 }).close();
  } catch (error) {
    return !/too many open files/i.test(String(error));
  }
  return true;
}
