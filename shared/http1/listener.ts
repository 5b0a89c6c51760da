/**
 * The listener of every port. Limits unauthenticated connections, and reads what a trusted proxy says of its clients.
 * `runtime_door.ts` and `node_door.ts` accept; HTTP is `exchange.ts`, or `runtime_exchange.ts` if the runtime's
 * WebSockets are used.
 */
import type { Logger } from "../logs/log.ts";
import { Arrival, Arrivals } from "./arrivals.ts";
import type { ArrivalLimits, ArrivalStats } from "./arrivals.ts";
import { closeQuietly, NOTHING } from "./byte_stream.ts";
import type { Door, DoorOptions, DoorStats, TlsPair, Visitor } from "./door.ts";
import { RuntimeDoor } from "./runtime_door.ts";
import { serveConnection } from "./exchange.ts";
import type {
  ClientOf,
  ExchangeConnection,
  ExchangeContext,
  Handler,
  TakenConnection,
  TurnAway,
} from "./exchange.ts";
import type { FileReserve, FileRoom } from "./file_reserve.ts";
import { lookAtSockets } from "../turns/next_turn.ts";
import { readProxyHeader, usualAddress } from "./proxy.ts";
import type { ProxyRule } from "./proxy.ts";
import { runtimeHttp, serveByRuntime } from "./runtime_exchange.ts";
import { TlsDoor } from "./tls_stream.ts";
import { Turns } from "../turns/fair_turns.ts";
import { HandleStream } from "./handle_stream.ts";
import { NodeDoor, openServer } from "./node_door.ts";
import type { TcpHandle } from "./node_handle.ts";

/** The address of a listener, and its limits. */
export interface BareListenOptions {
  /** The listener's name for messages: "client", "ops", "admin"; absent: "client". */
  readonly name?: string;
  readonly host: string;
  /** The port; 0 picks a free one. */
  readonly port: number;
  readonly handler: Handler;
  /** PEM texts; with them the listener speaks TLS. */
  readonly tls?: TlsPair | undefined;
  /** True if other processes serve the same port. */
  readonly reuse_port?: boolean;
  /** The HTTP server: our own, or the runtime's, for its WebSockets; absent: our own. */
  readonly http?: "own" | "runtime";
  readonly limits: DoorLimits;
  /** Proxies whose connections begin with a PROXY header; absent: none. */
  readonly proxies?: ProxyRule | undefined;
  /** Finds the client behind a proxy that names it in a header of each request; absent: a peer is its own client. */
  readonly clientOf?: ClientOf | undefined;
  /** The file descriptors reserved for others than clients; absent: none. */
  readonly reserve?: FileReserve | undefined;
  /**
   * Answers one request of a stranger without a place, or with only a reserved descriptor; absent: its connection is
   * closed at once.
   */
  readonly turnAway?: TurnAway | undefined;
  readonly log?: Logger | undefined;
  /** Called when the listener has died for good; it accepts nothing any longer. */
  readonly onGone: (error: Error) => void;
  readonly now?: () => number;
}

/** The limits of a listener. */
export interface DoorLimits extends ArrivalLimits {
  /** Connections of this listener in all, WebSockets included. */
  readonly descriptors: number;
  /** Descriptors that this listener leaves to others; absent: it may use reserved ones. */
  readonly reserved?: number;
  /** How long accepting or reopening the port may fail until it is given up, in ms; absent: 30 s. */
  readonly gone_ms?: number;
}

/** Counters for metrics. */
export interface BareListenStats extends ArrivalStats, DoorStats {
  /** Open connections, WebSockets included. */
  readonly open: number;
  /** Connections closed at once: only reserved descriptors were left, and there was no stranger to close. */
  readonly refused: number;
}

/** An open listener. */
export interface BareListener {
  readonly port: number;
  readonly stats: BareListenStats;
  /** Stops accepting and closes idle connections; resolves when the last one has ended. */
  shutdown(): Promise<void>;
  /** Closes every connection that was not upgraded. */
  abandon(): void;
  /** Uses another certificate and key for further handshakes; open connections are unaffected. */
  renew(pair: TlsPair): Promise<void>;
  /** Reopens the port because it does not answer; open connections are unaffected. */
  reopen(): Promise<void>;
}

const GONE_MS = 30_000;
/** Descriptors are reported as available once they were not scarce for so long. */
const AGAIN_MS = 10_000;

/**
 * Opens a listener. Rejects with the runtime's own error if the address is in use, forbidden or not of this machine.
 */
export async function listenBare(options: BareListenOptions): Promise<BareListener> {
  const { tls, http } = options;
  if (http === "runtime") return listenPlain(options);
  const listening = new Listening(options);
  const where = listening.doorOptions();
  const server = await openServer(where, where.port);
  const door = tls === undefined ? new HandleDoor(where, server) : new TlsDoor(where, server, tls);
  return listening.opened(door.begin());
}

/** Opens a listener without TLS of our own, at once. Throws the runtime's own error. */
export function listenPlain(options: BareListenOptions): BareListener {
  const { tls, http } = options;
  if (http === "runtime") runtimeHttp();
  const listening = new Listening(options);
  return listening.opened(new RuntimeDoor(listening.doorOptions(), tls));
}

class Listening implements BareListener {
  /** Set before the first connection comes. */
  #door!: Door;
  readonly #options: BareListenOptions;
  readonly #arrivals: Arrivals;
  readonly #now: () => number;
  readonly #context: ExchangeContext;
  readonly #ended = Promise.withResolvers<void>();
  #endLooking: (() => void) | undefined;
  #closing = false;
  #open = 0;
  /** The limit of connections; lower than configured once descriptors ran out. */
  #open_max: number;
  #refused = 0;
  /** When descriptors were last scarce, after that was logged; undefined: they are not. */
  #scarce_ms: number | undefined;
  #date = "";
  #date_seconds = 0;

  constructor(options: BareListenOptions) {
    const { limits, reserve, turnAway, clientOf = (peer) => peer, log, name: listener } = options;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#open_max = limits.descriptors;
    this.#arrivals = new Arrivals(limits, this.#now, turnAway !== undefined);
    this.#context = {
      handler: options.handler,
      turnAway,
      secure: options.tls !== undefined,
      arrivals: this.#arrivals,
      isClosing: () => this.#closing,
      turns: new Turns(),
      date: () => this.#dateText(),
      clientOf,
      onFailure: (error) => log?.warn("an answer failed", { listener, error }),
    };
    if (limits.reserved !== undefined) reserve?.join(() => this.#open);
  }

  opened(door: Door): this {
    this.#door = door;
    this.#endLooking = lookAtSockets();
    return this;
  }

  doorOptions(): DoorOptions {
    const { name = "client", host, port, reuse_port = false, onGone, limits, log } = this.#options;
    return {
      name,
      host,
      port,
      reuse_port,
      onGone,
      log,
      onVisitor: (visitor) => this.#take(visitor),
      rooms: (count) => this.#rooms(count),
      makeRoom: () => this.#arrivals.makeRoom(),
      onRefused: () => void this.#refused++,
      mayKeep: (number) => this.#reserve?.isLow(number) ?? true,
      onFilesOut: () => this.#onFilesOut(),
      holdsFiles: () => this.#open > 0 || this.#options.reserve?.isHeld() === true,
      gone_ms: limits.gone_ms ?? GONE_MS,
      now: this.#now,
    };
  }

  get port(): number {
    return this.#door.port;
  }

  get stats(): BareListenStats {
    const counted = { ...this.#arrivals.stats, ...this.#door.stats };
    return { ...counted, open: this.#open, refused: this.#refused };
  }

  shutdown(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#door.close();
      this.#arrivals.end(false);
      this.#settle();
    }
    return this.#ended.promise;
  }

  abandon(): void {
    this.#arrivals.end(true);
  }

  renew(pair: TlsPair): Promise<void> {
    return this.#door.renew(pair);
  }

  reopen(): Promise<void> {
    return this.#door.reopen();
  }

  /** The reserve, if this listener leaves descriptors to others and their number is known. */
  get #reserve(): FileReserve | undefined {
    const { limits, reserve } = this.#options;
    return limits.reserved === undefined || reserve?.files === 0 ? undefined : reserve;
  }

  /**
   * Makes room when descriptors ran out, if this listener leaves some to others: closes the oldest strangers until so
   * many are free, and no other connection. Without a reserve that knows how many may return, the limit stays lower.
   */
  #onFilesOut(): void {
    const { reserved } = this.#options.limits;
    if (reserved === undefined) return;
    const most = Math.max(1, this.#open - Math.min(reserved, Math.ceil(this.#open / 2)));
    if (this.#reserve === undefined) this.#open_max = Math.min(this.#open_max, most);
    const known = this.#open - this.#arrivals.stats.strangers;
    this.#arrivals.keep(Math.max(0, most - known));
  }

  /** The room for each connection; logs once that there is little. */
  #rooms(count: number): readonly FileRoom[] {
    const rooms = this.#reserve?.rooms(count) ?? Array<FileRoom>(count).fill("plenty");
    const scarce = rooms.at(-1) !== "plenty";
    if (!scarce && this.#scarce_ms === undefined) return rooms;
    const { name: listener = "client", log } = this.#options;
    const now_ms = this.#now();
    if (scarce) {
      if (this.#scarce_ms === undefined) {
        log?.warn("no connection can be accepted unless another one ends: files run out", {
          listener,
        });
      }
      this.#scarce_ms = now_ms;
    } else if (now_ms - (this.#scarce_ms ?? 0) > AGAIN_MS) {
      this.#scarce_ms = undefined;
      log?.info("there are files for more connections again", { listener });
    }
    return rooms;
  }

  #take(visitor: Visitor): void {
    const { room } = visitor;
    const full = this.#open >= this.#open_max && !this.#arrivals.makeRoom();
    const unanswerable = room === "spare" && this.#context.turnAway === undefined;
    if (full || unanswerable || room === "none") {
      this.#refused++;
      return closeQuietly(visitor.stream);
    }
    this.#open++;
    // Not within `#serve`: all that it knows of the request would live as long as the WebSocket.
    this.#serve(visitor).then(this.#run).catch(this.#onEnded);
  }

  /** These are the same for all: there are thousands of connections. */
  readonly #onEnded = () => {
    this.#open--;
    this.#settle();
  };
  readonly #run = (taken: TakenConnection | undefined) => {
    if (taken === undefined) this.#onEnded();
    else taken.run(this.#onEnded);
  };

  async #serve(visitor: Visitor): Promise<TakenConnection | undefined> {
    const { stream, remoteAddr, room } = visitor;
    // An IPv4 peer of an IPv6 listener has another one.
    const address = { ...remoteAddr, hostname: usualAddress(remoteAddr.hostname) };
    // The clients of a proxy's connections are unknown yet, so none is counted with another.
    const proxied = this.#options.proxies?.isProxy(address.hostname) === true;
    const group = proxied ? `proxied ${address.port}` : address.hostname;
    const arrival = new Arrival(stream, group, room === "spare");
    this.#arrivals.add(arrival);
    try {
      return await this.#converse(visitor, { arrival, remoteAddr: address });
    } catch (error) {
      this.#arrivals.remove(arrival);
      closeQuietly(stream);
      throw error;
    }
  }

  async #converse(
    { stream: tcp, secure }: Visitor,
    { arrival, remoteAddr: address }: Pick<ExchangeConnection, "arrival" | "remoteAddr">,
  ): Promise<TakenConnection | undefined> {
    const { proxies, http } = this.#options;
    const arrivals = this.#arrivals;
    let remoteAddr = address;
    if (proxies?.speaksFirst === true && proxies.isProxy(address.hostname)) {
      arrivals.enter(arrival, "proxy");
      const source = await readProxyHeader(tcp);
      if (source !== undefined) remoteAddr = { ...address, ...source };
      arrivals.move(arrival, remoteAddr.hostname);
    }
    if (secure !== undefined) arrivals.enter(arrival, "tls");
    const stream = secure === undefined ? tcp : await secure();
    const connection = { arrival, stream, remoteAddr };
    if (http === "runtime") return await serveByRuntime(this.#context, connection);
    return await serveConnection(this.#context, { ...connection, early: NOTHING });
  }

  /** The value of the date header; made once a second. */
  #dateText(): string {
    const seconds = Math.floor(Date.now() / 1_000);
    if (seconds === this.#date_seconds) return this.#date;
    this.#date_seconds = seconds;
    return this.#date = new Date(1_000 * seconds).toUTCString();
  }

  #settle(): void {
    if (!this.#closing || this.#open > 0) return;
    this.#endLooking?.();
    this.#ended.resolve();
  }
}

/** A door without TLS. */
class HandleDoor extends NodeDoor {
  override renew(): Promise<void> {
    return Promise.resolve();
  }

  protected override take(handle: TcpHandle): Pick<Visitor, "stream"> {
    return { stream: new HandleStream(handle) };
  }
}
