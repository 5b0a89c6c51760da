/**
 * Opens a nats.js connection from `[nats]`, checks the server's version, and reads the login files again before each
 * attempt, so that a rotated secret needs no restart. The sockets of nats.js (3.4.0) get three changes. A pending
 * error does not end the process: nats.js removes all listeners of a socket before it destroys it, so that such an
 * error, for example the reset after a refused login, would be an uncaught exception. Neither does a refusal directly
 * after the TLS handshake. And reads and writes go through the connection's `Wire`. `nats_link.ts` reconnects.
 */
import { ArqonError } from "@arqon/proto";
import {
  credsAuthenticator,
  NatsConnectionImpl,
  nkeyAuthenticator,
  setTransportFactory,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-deno";
import type {
  Authenticator,
  ConnectionOptions,
  NatsConnection,
  NodeConnectionOptions,
  TlsOptions,
} from "@nats-io/transport-deno";
import { natsFiles } from "../../../config/named_files.ts";
import type { Config } from "../../../config/schema.ts";
import type { Logger } from "../../../logs/log.ts";
import { type Carrier, type OutBuffer, Wire } from "./nats_wire.ts";
import { isSupportedNats, OLDEST_NATS } from "./nats_link.ts";
import {
  passwordIn,
  readSecret,
  RenewedSecret,
  SecretProblem,
  tokenIn,
} from "../../../process/secret_file.ts";
import type { ReadFile } from "../../../process/secret_file.ts";
import { certificatesIn, privateKeyIn, requirePair } from "../../../process/secret_tls.ts";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions as TlsConnectionOptions, TLSSocket } from "node:tls";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-deno/node_transport";
import { concat } from "../../../containers/concat.ts";
import { type ByteSink, NOTHING } from "../../../http1/byte_stream.ts";
import { HandleStream } from "../../../http1/handle_stream.ts";
import { handleOf, type TcpHandle } from "../../../http1/node_handle.ts";
import type { FrameScanner } from "./nats_frames.ts";

/** The `[nats]` table. */
export type NatsConfig = NonNullable<Config["nats"]>;

/** Client pings that may be unanswered, one each `request_timeout_ms`; the next one closes the connection. */
const PINGS_OUT = 2;
/** The shortest interval of those pings, in ms: a process that is busy for this long must not close its connection. */
const PING_MS_MIN = 1_000;
interface ConnectInput {
  readonly config: NatsConfig;
  /** The fast path for messages beside nats.js; absent: all messages go through nats.js. */
  readonly wire?: Wire;
  readonly files?: { read(path: string): string };
  /** Logs secrets that cannot be read again. */
  readonly log?: Logger;
  /** The pause before each attempt to reconnect, in ms. */
  readonly reconnectDelay: () => number;
}

/** Reads the login files that the table names. Throws a ConfigError that names the key and the file. */
function openLogin({ config, files, log }: ConnectInput): NatsLogin {
  const [first] = natsFiles(config);
  if (files === undefined && first !== undefined) {
    throw new TypeError(`cannot read ${first.path}: openSpine was given no way to read files`);
  }
  return new NatsLogin(config, (path) => files?.read(path) ?? "", log);
}

function connectionOptions(
  { config, reconnectDelay }: ConnectInput,
  servers: string[],
  { authenticator }: NatsLogin,
): NodeConnectionOptions {
  return {
    servers,
    authenticator,
    name: "arqon",
    timeout: config.connect_timeout_ms,
    maxReconnectAttempts: -1,
    // A restarted server may refuse the login while it is still starting.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: reconnectDelay,
    // A frozen server looks connected: the connection is closed after three request timeouts. Until then each request
    // fails by its own timeout.
    pingInterval: Math.max(PING_MS_MIN, config.request_timeout_ms),
    maxPingOut: PINGS_OUT,
    noAsyncTraces: true,
  };
}

/**
 * Connects to one of the servers. Rejects with `spine-unavailable` if none answers within `connect_timeout_ms` or the
 * server is older than 2.11; with a ConfigError if a file of the table is invalid.
 */
export async function connectNats(input: ConnectInput): Promise<NatsConnection> {
  const { servers } = parseAddresses(input.config.urls);
  const login = openLogin(input);
  const options = connectionOptions(input, servers, login);
  let connection: NatsConnection;
  try {
    connection = await connectGuarded(options, login, input.wire);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const where = servers.join(", ");
    throw new ArqonError("spine-unavailable", `NATS at ${where}: ${why}`, { cause });
  }
  const version = connection.info?.version ?? "unknown";
  if (isSupportedNats(version)) return connection;
  await connection.close();
  throw new ArqonError(
    "spine-unavailable",
    `the NATS server ${connection.getServer()} has version ${version}; ${OLDEST_NATS} or newer is needed`,
  );
}

/** The parsed URLs of a configuration. */
interface Addresses {
  /** `host:port`, without credentials: safe to show. */
  readonly servers: string[];
  readonly tls: boolean;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

/** Splits user and password, or a token alone, from the URLs. */
export function parseAddresses(urls: readonly string[]): Addresses {
  const parsed = urls.map((text) => new URL(text.replace(/^(nats|tls):/, "http:")));
  const servers = parsed.map((url) => `${url.hostname}:${url.port === "" ? "4222" : url.port}`);
  const tls = urls.some((url) => url.startsWith("tls:"));
  const login = parsed.find((url) => url.username !== "");
  if (login === undefined) return { servers, tls };
  const user = decodeURIComponent(login.username);
  if (login.password === "") return { servers, tls, token: user };
  return { servers, tls, user, pass: decodeURIComponent(login.password) };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The line of a user's seed, alone or among the decoration that `nsc` puts around it. */
function seedIn(text: string): Uint8Array {
  const seed = text.split(/\r?\n/).map((line) => line.trim()).find((line) => /^S[A-Z]/.test(line));
  const problem = new SecretProblem("holds no seed of a user's nkey; expected a line SU…");
  if (seed === undefined || !seed.startsWith("SU")) throw problem;
  try {
    // Throws for a truncated or mistyped seed, which would otherwise close the connection finally.
    nkeyAuthenticator(bytesOf(seed))("nonce");
  } catch {
    throw problem;
  }
  return bytesOf(seed);
}

function credentialsIn(text: string): Uint8Array {
  const bytes = bytesOf(text);
  try {
    credsAuthenticator(bytes)("nonce");
    return bytes;
  } catch {
    throw new SecretProblem("is no .creds file; expected a JWT and a seed as `nsc` writes them");
  }
}

/** Reads the login of a configuration. Throws a ConfigError that names the key and the file. */
function loginOf(
  config: NatsConfig,
  { user: url_user, pass, token }: Addresses,
  read: ReadFile,
): Authenticator | undefined {
  const inFile = <T>(key: string, path: string, parse: (text: string) => T) =>
    readSecret(read, { key: `nats.${key}`, path }, parse);
  const { password_file, token_file, nkey_file, credentials_file } = config;
  if (password_file !== undefined) {
    // A user alone in a URL is a token, unless there is a password for it.
    const user = config.user ?? token ?? "";
    return usernamePasswordAuthenticator(user, inFile("password_file", password_file, passwordIn));
  }
  if (token_file !== undefined) {
    return tokenAuthenticator(inFile("token_file", token_file, tokenIn));
  }
  if (nkey_file !== undefined) return nkeyAuthenticator(inFile("nkey_file", nkey_file, seedIn));
  if (credentials_file !== undefined) {
    return credsAuthenticator(inFile("credentials_file", credentials_file, credentialsIn));
  }
  if (url_user !== undefined) return usernamePasswordAuthenticator(url_user, pass);
  return token === undefined ? undefined : tokenAuthenticator(token);
}

/** Reads certificates and key. Throws as `loginOf` does, also for a key of another certificate. */
function tlsOf(config: NatsConfig, by_url: boolean, read: ReadFile): TlsOptions | undefined {
  const { tls_ca_file, tls_cert_file, tls_key_file } = config;
  const tls: TlsOptions = {};
  if (tls_ca_file !== undefined) {
    tls.ca = readSecret(read, { key: "nats.tls_ca_file", path: tls_ca_file }, certificatesIn);
  }
  if (tls_cert_file !== undefined && tls_key_file !== undefined) {
    tls.cert = readSecret(read, { key: "nats.tls_cert_file", path: tls_cert_file }, certificatesIn);
    tls.key = readSecret(read, { key: "nats.tls_key_file", path: tls_key_file }, privateKeyIn);
    requirePair({ key: "nats.tls_key_file", path: tls_key_file }, tls.cert, tls.key);
  }
  return by_url || Object.keys(tls).length > 0 ? tls : undefined;
}

/** The login of one connection, through all its reconnects. */
export class NatsLogin {
  readonly #login: RenewedSecret<Authenticator | undefined>;
  readonly #tls: RenewedSecret<TlsOptions | undefined>;
  #authenticator: Authenticator | undefined;

  /** Reads every file at once. Throws a ConfigError that names the key and the file. */
  constructor(config: NatsConfig, read: ReadFile, log?: Logger) {
    const addresses = parseAddresses(config.urls);
    this.#login = new RenewedSecret(() => loginOf(config, addresses, read), log);
    this.#tls = new RenewedSecret(() => tlsOf(config, addresses.tls, read), log);
  }

  /** The TLS options of an attempt to connect that begins now; undefined: as the server requires. */
  begin(): TlsOptions | undefined {
    this.#authenticator = this.#login.current();
    return this.#tls.current();
  }

  /** Answers the server's greeting with the login that `begin` read. Never throws. */
  readonly authenticator: Authenticator = (nonce) => this.#authenticator?.(nonce);
}

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
 * promise for each write whose result it ignores. Without TLS, the bytes pass Node's streams by, too, which cost as
 * much again.
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
async function connectGuarded(
  options: NodeConnectionOptions,
  login: NatsLogin,
  wire: Wire | undefined,
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
