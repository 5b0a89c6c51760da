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
import type { TlsPair } from "../listeners/tls_reload.ts";
import { Turns } from "../turns/turns.ts";
import type { Door, DoorOptions, DoorStats } from "./door.ts";
import { handleOf } from "./node_handle.ts";
import { NodeStream } from "./node_stream.ts";
import { secureStream } from "./tls_stream.ts";

/** How many handshakes begin in one turn of the event loop; other work has its turn between them. */
const HANDSHAKES_A_TURN = 4;
/** Time between two looks at whether there are files, at which the listener is woken. */
const WAKE_MS = 50;
const BACKLOG = 511;
const RETRY_MS_MAX = 1_000;

/**
 * Opens a door with TLS of our own. Rejects with the runtime's own error when the address is taken,
 * forbidden or not of this machine.
 */
export async function openTlsDoor(options: DoorOptions, pair: TlsPair): Promise<Door> {
  return new TlsDoor(options, await openServer(options, options.port), pair);
}

async function openServer({ host, reuse_port }: DoorOptions, port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort: reuse_port, backlog: BACKLOG }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return server;
}

class TlsDoor implements Door {
  readonly port: number;
  readonly stats: { -readonly [name in keyof DoorStats]: number } = {
    accept_failures: 0,
    reopened: 0,
  };
  readonly #options: DoorOptions;
  #server: Server;
  readonly #timer: ReturnType<typeof setInterval>;
  #context: SecureContext;
  #closed = false;
  #opening: Promise<void> | undefined;
  /** Since when the system has given no file while no connection here holds one. */
  #without_since_ms: number | undefined;
  #told = false;
  /** Turns for the connections whose handshakes are to begin. */
  readonly #beginning = new Turns(HANDSHAKES_A_TURN);

  constructor(options: DoorOptions, server: Server, pair: TlsPair) {
    this.#options = options;
    this.#server = server;
    this.#context = createSecureContext({ ...pair });
    this.port = (server.address() as AddressInfo).port;
    this.#serve(server);
    this.#timer = setInterval(() => this.#wake(), WAKE_MS);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#server.close();
  }

  renew(pair: TlsPair): Promise<void> {
    this.#context = createSecureContext({ ...pair });
    return Promise.resolve();
  }

  reopen(): Promise<void> {
    this.stats.reopened++;
    return this.#opening ??= this.#openAnew().finally(() => this.#opening = undefined);
  }

  #serve(server: Server): void {
    server.on("connection", (socket: Socket) => this.#accept(socket));
    server.on("error", () => this.stats.accept_failures++);
  }

  async #openAnew(): Promise<void> {
    const { now, gone_ms } = this.#options;
    this.#server.close();
    const until_ms = now() + gone_ms;
    for (let wait_ms = 1; !this.#closed; wait_ms = Math.min(RETRY_MS_MAX, 2 * wait_ms)) {
      try {
        const server = await openServer(this.#options, this.port);
        this.#server = server;
        this.#serve(server);
        // The door was closed meanwhile.
        if (this.#closed) server.close();
        return;
      } catch (error) {
        if (now() >= until_ms) {
          this.#end(error as Error);
          throw error;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, wait_ms));
    }
  }

  /**
   * Wakes the listener. One that once got no descriptor for a connection is told of no further one
   * (Deno 2.9), and does not say so. Asked to listen again, it looks at its queue.
   */
  #wake(): void {
    if (this.#opening !== undefined) return;
    if (!hasDescriptor()) return this.#onFilesOut();
    if (this.#told) {
      this.#options.log?.info("connections are accepted again", { listener: this.#options.name });
    }
    this.#told = false;
    this.#without_since_ms = undefined;
    if (handleOf(this.#server)?.listen(BACKLOG) !== 0) this.reopen().catch(() => {});
  }

  #onFilesOut(): void {
    const { name, onFilesOut, holdsFiles, now, gone_ms, log } = this.#options;
    // This comes first: until files are given back, whatever opens a file may end the process.
    onFilesOut();
    this.stats.accept_failures++;
    const problem = "too many open files";
    if (!this.#told) {
      log?.warn("no connection can be accepted; it is tried again", { listener: name, problem });
    }
    this.#told = true;
    // Connections that hold files will end some day, and must not be cut off for new ones.
    if (this.#without_since_ms === undefined || holdsFiles()) this.#without_since_ms = now();
    if (now() - this.#without_since_ms > gone_ms) this.#end(new Error(problem));
  }

  #end(error: Error): void {
    this.close();
    this.#options.onGone(error);
  }

  #accept(socket: Socket): void {
    const { remoteAddress: hostname, remotePort: port } = socket;
    const stream = new NodeStream(socket);
    // The peer has reset the connection meanwhile.
    if (hostname === undefined || port === undefined) return stream.close();
    this.#options.onVisitor({
      stream,
      remoteAddr: { transport: "tcp", hostname, port },
      secure: async () => {
        await this.#beginning.later();
        return await secureStream(stream.release(), this.#context);
      },
    });
  }
}

/**
 * Whether the system gives out another descriptor; true also where only permissions are missing.
 */
function hasDescriptor(): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port: 0 }).close();
  } catch (error) {
    return !/too many open files/i.test(String(error));
  }
  return true;
}
