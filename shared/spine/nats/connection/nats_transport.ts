/**
 * The sockets of nats.js (3.4.0), with three changes. A pending error does not end the process: nats.js removes all
 * listeners of a socket before it destroys it, so that such an error, for example the reset after a refused login,
 * would be an uncaught exception. Neither does a refusal directly after the TLS handshake. And reads and writes go
 * through the connection's `Wire`, if it has one.
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
import { concat } from "../../../containers/concat.ts";
import type { ByteSink } from "../../../http1/byte_stream.ts";
import { HandleStream } from "../../../http1/handle_stream.ts";
import { NOTHING } from "../../../http1/inbound.ts";
import { handleOf } from "../../../http1/node_handle.ts";
import type { TcpHandle } from "../../../http1/node_handle.ts";
import type { FrameScanner } from "./nats_frames.ts";
import { NatsLogin } from "./nats_login.ts";
import type { OutBuffer } from "./nats_out.ts";
import { Wire } from "./nats_wire.ts";
import type { Carrier } from "./nats_wire.ts";

/** The part of a Node socket that is used here. */
interface Emitter {
  on(event: "error", listener: () => void): unknown;
  removeAllListeners(event?: string): unknown;
}

/** Bytes of a PONG; a PING is as long, and is never sent before queued data. */
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
 * nats.js passes its options to each of a connection's transports: so they find the wire and the current certificates.
 */
type WireOptions = { readonly wire?: unknown; readonly login?: unknown };
type Server = Parameters<NodeTransport["connect"]>[0];

/**
 * What the wire reads from and writes to. nats.js itself creates two queues and four promises for each read, and a
 * promise for each write whose result it ignores. Without TLS, the bytes pass Node's streams by, too, which cost as much
 * again.
 */
class SocketCarrier implements Carrier, ByteSink {
  readonly #transport: NodeTransport;
  #scanner: FrameScanner | undefined;
  /** Undefined with TLS. */
  #stream: HandleStream | undefined;
  /** Bytes that follow those being written; undefined while the system has taken all. */
  #waiting: Uint8Array[] | undefined;

  constructor(transport: NodeTransport) {
    this.#transport = transport;
  }

  get isClosed(): boolean {
    return this.#transport.isClosed;
  }

  /** From now on the scanner takes its messages from each read, and nats.js gets the rest. */
  begin(scanner: FrameScanner): void {
    const { socket, yields } = this.#transport;
    this.#scanner = scanner;
    // The greeting, and the bytes received with it.
    for (const chunk of yields.splice(0)) this.#feed(chunk);
    socket.removeAllListeners("data");
    socket.on("data", (chunk: Uint8Array) => this.#feed(chunk));
    const handle = this.#transport.isEncrypted() ? null : handleOf(socket);
    if (handle === null) return;
    const stream = this.#stream = new HandleStream(handle as TcpHandle);
    // Node has begun to read.
    stream.pause();
    stream.flow(this, NOTHING);
    stream.resume();
  }

  #feed({ buffer, byteOffset, length }: Uint8Array): void {
    const { yields, signal } = this.#transport;
    // A plain Uint8Array: the code must not depend on Node's Buffer class.
    const others = this.#scanner?.feed(new Uint8Array(buffer, byteOffset, length)) ?? [];
    // Copies: nats.js reads them later.
    for (const rest of others) yields.push(rest.slice());
    if (yields.length > 0) signal.resolve();
  }

  send(bytes: Uint8Array): void {
    const socket: NodeTransport["socket"] | undefined = this.#transport.socket;
    if (this.#transport.isClosed || socket?.writable !== true) return;
    if (this.#stream === undefined) socket.write(bytes);
    else if (this.#waiting !== undefined) this.#waiting.push(bytes);
    else if (!this.#stream.send(bytes as Uint8Array<ArrayBuffer>)) this.#waiting = [];
  }

  arrived(bytes: Uint8Array, end: number): void {
    this.#feed(bytes.subarray(0, end));
  }

  written(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    if (waiting.length > 0) this.send(concat(waiting));
  }

  ended(): void {
    this.#transport.socket.destroy();
  }
}

class WireTransport extends NodeTransport {
  #wire: Wire | undefined;
  #out: OutBuffer | undefined;
  /** Its certificate must have this name or address. */
  #hostname = "";

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
    this.#hostname = server.tlsName || server.hostname;
    const tls = login instanceof NatsLogin ? login.begin() : undefined;
    await super.connect(server, tls === undefined ? options : { ...options, tls });
    // Abandoned meanwhile: nats.js already uses another socket.
    if (this.isClosed || !(options.wire instanceof Wire)) return;
    this.#wire = options.wire;
    const carrier = new SocketCarrier(this);
    const { scanner, out } = options.wire.open(carrier);
    this.#out = out;
    carrier.begin(scanner);
  }

  /**
   * A handshake that keeps its listeners: an error directly after it, such as a rejected certificate, would otherwise
   * find none.
   */
  override async startTLS(): Promise<TLSSocket> {
    const named = typeof this.options.tls === "object"
      ? { ...this.options.tls, ...await this.loadClientCerts() }
      : {};
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let problem: Error | undefined;
    // An address is no server name; without a host, Node compares the certificate with "localhost".
    const names = { servername: this.tlsName, host: this.#hostname };
    const ours = { socket: this.socket, ...names, rejectUnauthorized: true };
    const socket = connectTls({ ...ours, ...named } as unknown as TlsConnectionOptions);
    socket.on("error", (error) => problem ??= error);
    socket.once("secureConnect", resolve);
    socket.once("close", () => reject(problem ?? new Error("the server ended the TLS handshake")));
    await promise;
    if (problem !== undefined) throw problem;
    return socket;
  }

  override send(frame: Uint8Array): void {
    // A PONG overtakes the data that nats.js has queued; any other write includes that data.
    if (frame.length !== PONG_BYTES) this.#wire?.caughtUp();
    if (this.#out === undefined) super.send(frame);
    else this.#out.send(frame);
  }

  override close(error?: Error): Promise<void> {
    this.#out?.flush();
    return super.close(error);
  }

  override discard(): void {
    // nats.js now creates the next transport, from a factory that all of its connections share.
    useWireTransports();
    super.discard();
  }
}

function useWireTransports(): void {
  setTransportFactory({ factory: () => new WireTransport(), dnsResolveFn: nodeResolveHost });
}

/** From now on nats.js uses the cluster's other servers, including those of the ignored greeting. */
function hearOfOthers(connection: NatsConnection): void {
  if (!(connection instanceof NatsConnectionImpl)) throw new TypeError("nats.js has changed");
  connection.options.ignoreClusterUpdates = false;
  const { info, servers, transport } = connection.protocol;
  if (info !== undefined) servers.update(info, transport.isEncrypted());
}

/** Another user of nats.js may set its factory just before nats.js asks it. */
const ATTEMPTS = 3;

/**
 * nats.js' own `connect`, but with guarded sockets, and by way of `wire`; also for every reconnect. Each server is
 * tried once. nats.js itself would retry forever if the servers of a cluster refuse a login: it removes each server
 * from its list, and the greeting of the next one adds it again.
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
