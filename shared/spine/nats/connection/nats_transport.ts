/**
 * The sockets of nats.js (3.4.0), with three changes. An error that is already on its way does not
 * end the process: nats.js takes all listeners off a socket before it destroys it, so that such an
 * error, for example the reset after a refused login, finds none and is an uncaught exception. Nor
 * does a refusal right behind the TLS handshake end it. And what the sockets read and write goes by
 * the connection's `Wire`, if it has one.
 */
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions as TlsConnectionOptions, TLSSocket } from "node:tls";
import { NatsConnectionImpl, setTransportFactory } from "@nats-io/transport-deno";
import type {
  ConnectionOptions,
  NatsConnection,
  NodeConnectionOptions,
} from "@nats-io/transport-deno";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-deno/node_transport";
import type { FrameScanner } from "./nats_frames.ts";
import { NatsLogin } from "./nats_login.ts";
import type { OutBuffer } from "./nats_out.ts";
import { Wire } from "./nats_wire.ts";
import type { Carrier } from "./nats_wire.ts";

/** The part of a Node socket that matters here. */
interface Emitter {
  on(event: "error", listener: () => void): unknown;
  removeAllListeners(event?: string): unknown;
}

/** Bytes of the answer to a ping; a ping is as long, and never sent before what is queued. */
const PONG_BYTES = 6;

const ignore = (): void => {};

function isEmitter(value: unknown): value is Emitter {
  return typeof value === "object" && value !== null && "on" in value &&
    "removeAllListeners" in value && typeof value.removeAllListeners === "function";
}

function guardSocket(socket: Emitter): void {
  const removeAllListeners = socket.removeAllListeners.bind(socket);
  socket.removeAllListeners = (event) => {
    const result = event === undefined ? removeAllListeners() : removeAllListeners(event);
    socket.on("error", ignore);
    return result;
  };
  socket.on("error", ignore);
}

/**
 * nats.js passes its options on to each of a connection's transports: that is how they find the wire, and
 * with which certificates they connect now.
 */
type WireOptions = { readonly wire?: unknown; readonly login?: unknown };
type Server = Parameters<NodeTransport["connect"]>[0];

/**
 * The scanner takes its messages out of what the socket reads, as it is read; nats.js gets the rest.
 * nats.js' way from the socket to its parser is two queues and four promises for each read.
 */
function takeFirst(transport: NodeTransport, scanner: FrameScanner): void {
  const { socket, yields } = transport;
  // The greeting, and what came with it.
  const greeting = yields.splice(0);
  const feed = (chunk: Uint8Array) => {
    // Node's buffers are a class of their own, and nothing here shall depend on that.
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    for (const rest of scanner.feed(bytes)) transport.yields.push(rest);
    if (transport.yields.length > 0) transport.signal.resolve();
  };
  for (const chunk of greeting) feed(chunk);
  socket.removeAllListeners("data");
  socket.on("data", feed);
}

/**
 * What the wire writes to. nats.js' own way makes a promise for each write, and ignores what becomes of
 * it: the socket tells its end to its listeners.
 */
class SocketCarrier implements Carrier {
  readonly #transport: NodeTransport;

  constructor(transport: NodeTransport) {
    this.#transport = transport;
  }

  get isClosed(): boolean {
    return this.#transport.isClosed;
  }

  send(bytes: Uint8Array): void {
    const socket: NodeTransport["socket"] | undefined = this.#transport.socket;
    if (!this.#transport.isClosed && socket?.writable === true) socket.write(bytes);
  }
}

class WireTransport extends NodeTransport {
  #wire: Wire | undefined;
  #out: OutBuffer | undefined;

  constructor() {
    super();
    let current: unknown;
    Object.defineProperty(this, "socket", {
      get: () => current,
      set: (socket: unknown) => {
        if (isEmitter(socket) && socket !== current) guardSocket(socket);
        current = socket;
      },
    });
  }

  override async connect(server: Server, options: ConnectionOptions & WireOptions): Promise<void> {
    const { login } = options;
    const tls = login instanceof NatsLogin ? login.begin() : undefined;
    await super.connect(server, tls === undefined ? options : { ...options, tls });
    // Given up meanwhile: nats.js has another one by now.
    if (this.isClosed || !(options.wire instanceof Wire)) return;
    this.#wire = options.wire;
    const { scanner, out } = options.wire.open(new SocketCarrier(this));
    this.#out = out;
    takeFirst(this, scanner);
  }

  /**
   * With a handshake that leaves its listeners where they are: what a server says right behind it, such as
   * that it does not know our certificate, would find none.
   */
  override async startTLS(): Promise<TLSSocket> {
    const named = typeof this.options.tls === "object"
      ? { ...this.options.tls, ...await this.loadClientCerts() }
      : {};
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let problem: Error | undefined;
    const ours = { socket: this.socket, servername: this.tlsName, rejectUnauthorized: true };
    const socket = connectTls({ ...ours, ...named } as unknown as TlsConnectionOptions);
    socket.on("error", (error) => problem ??= error);
    socket.once("secureConnect", resolve);
    socket.once("close", () => reject(problem ?? new Error("the server ended the TLS handshake")));
    await promise;
    if (problem !== undefined) throw problem;
    return socket;
  }

  override send(frame: Uint8Array): void {
    // The answer to a ping overtakes what nats.js keeps; all else goes out with that.
    if (frame.length !== PONG_BYTES) this.#wire?.caughtUp();
    if (this.#out === undefined) super.send(frame);
    else this.#out.send(frame);
  }

  override close(error?: Error): Promise<void> {
    this.#out?.flush();
    return super.close(error);
  }

  override discard(): void {
    // nats.js makes the next one in this moment, from a factory that all of its connections share.
    useWireTransports();
    super.discard();
  }
}

function useWireTransports(): void {
  setTransportFactory({ factory: () => new WireTransport(), dnsResolveFn: nodeResolveHost });
}

/** From now on the cluster's other servers count, those of the greeting that was not heard too. */
function hearOfOthers(connection: NatsConnection): void {
  if (!(connection instanceof NatsConnectionImpl)) throw new TypeError("nats.js has changed");
  connection.options.ignoreClusterUpdates = false;
  const { info, servers, transport } = connection.protocol;
  if (info !== undefined) servers.update(info, transport.isEncrypted());
}

/** Another user of nats.js may set its factory just before nats.js asks it. */
const ATTEMPTS = 3;

/**
 * nats.js' own `connect`, but with guarded sockets, and by way of `wire`; also for every reconnect. Each
 * server is tried once. Left to itself, nats.js never ends where the servers of a cluster refuse a login:
 * it strikes each off its list, and the greeting of the next one puts it back.
 */
export async function connectGuarded(
  options: NodeConnectionOptions,
  { login, wire }: { readonly login?: NatsLogin; readonly wire?: Wire | undefined } = {},
): Promise<NatsConnection> {
  const by_wire = { ...options, login, wire, ignoreClusterUpdates: true };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    useWireTransports();
    const connection = await NatsConnectionImpl.connect(by_wire);
    if (wire === undefined || wire.is_open) {
      hearOfOthers(connection);
      return connection;
    }
    await connection.close();
  }
  throw new Error("nats.js takes its sockets from somewhere else");
}
