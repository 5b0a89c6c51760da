/**
 * The client listener of our own: it bounds who has shown no token yet, and reads what a trusted proxy
 * says. Accepting is `door.ts` and `tls_door.ts`, HTTP is `exchange.ts`; the listener of `listen.ts` on
 * the runtime's own HTTP server is the other kind.
 */
import type { TlsPair } from "../tls_reload.ts";
import { Arrival, Arrivals } from "./arrivals.ts";
import type { ArrivalLimits, ArrivalStats } from "./arrivals.ts";
import { closeQuietly } from "./byte_stream.ts";
import { openPlainDoor } from "./door.ts";
import type { Door, Visitor } from "./door.ts";
import { serveConnection } from "./exchange.ts";
import type { ExchangeContext, TakenConnection } from "./exchange.ts";
import type { Handler } from "../http_handler.ts";
import { readProxyHeader } from "./proxy.ts";
import type { ProxyRule } from "./proxy.ts";
import { openTlsDoor } from "./tls_door.ts";

/** Where to listen, and within which bounds. */
export interface BareListenOptions {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly handler: Handler;
  /** PEM texts; with them the listener speaks TLS. */
  readonly tls?: TlsPair | undefined;
  /** Other processes serve the same port. */
  readonly reuse_port?: boolean;
  readonly limits: ArrivalLimits & {
    /** Connections of this listener in all, WebSockets with them: what descriptors there are, less a reserve. */
    readonly descriptors: number;
  };
  /** Addresses whose connections begin with a PROXY header; absent: nobody's. */
  readonly proxies?: ProxyRule | undefined;
  /** The listener has died for good; nothing is accepted any more. */
  readonly onGone: (error: Error) => void;
  readonly now?: () => number;
}

/** What happened at the door, for metrics. */
export interface BareListenStats extends ArrivalStats {
  /** Connections now, WebSockets with them. */
  readonly open: number;
  /** `accept` failed and was tried again: descriptors or memory ran out. */
  readonly accept_failures: number;
  /** Ended at once, because there was no descriptor left but the reserve, and no stranger to end. */
  readonly refused: number;
}

/** An open listener. */
export interface BareListener {
  readonly port: number;
  readonly stats: BareListenStats;
  /** Stops accepting and ends idle connections; resolves when the last one has ended. */
  shutdown(): Promise<void>;
  /** Ends every connection that was not upgraded. */
  abandon(): void;
  /** Handshakes from now on use another pair; who is connected notices nothing. */
  renew(pair: TlsPair): void;
}

/** Rejects with the runtime's own error when the address is taken, forbidden or not of this machine. */
export async function listenBare(options: BareListenOptions): Promise<BareListener> {
  const { host, port, tls, reuse_port = false, onGone } = options;
  const listening = new Listening(options);
  const onVisitor = (visitor: Visitor) => listening.take(visitor);
  const where = { host, port, reuse_port, onVisitor, onGone };
  listening.door = tls === undefined ? openPlainDoor(where) : await openTlsDoor(where, tls);
  return listening;
}

class Listening implements BareListener {
  /** Set before anybody comes. */
  door!: Door;
  readonly #options: BareListenOptions;
  readonly #arrivals: Arrivals;
  readonly #context: ExchangeContext;
  readonly #ended = Promise.withResolvers<void>();
  #closing = false;
  #open = 0;
  #refused = 0;
  #date = "";
  #date_seconds = 0;

  constructor(options: BareListenOptions) {
    this.#options = options;
    this.#arrivals = new Arrivals(options.limits, options.now ?? (() => performance.now()));
    this.#context = {
      handler: options.handler,
      secure: options.tls !== undefined,
      arrivals: this.#arrivals,
      isClosing: () => this.#closing,
      date: () => this.#dateText(),
    };
  }

  get port(): number {
    return this.door.port;
  }

  get stats(): BareListenStats {
    const { stats } = this.#arrivals;
    const { strangers, evicted, timeouts } = stats;
    const { accept_failures } = this.door;
    return {
      ...{ strangers, evicted, timeouts, open: this.#open, accept_failures },
      refused: this.#refused,
    };
  }

  shutdown(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.door.close();
      this.#arrivals.end(false);
      this.#settle();
    }
    return this.#ended.promise;
  }

  abandon(): void {
    this.#arrivals.end(true);
  }

  renew(pair: TlsPair): void {
    this.door.renew(pair);
  }

  /** A new connection. */
  take(visitor: Visitor): void {
    if (this.#open >= this.#options.limits.descriptors && !this.#arrivals.makeRoom()) {
      this.#refused++;
      return closeQuietly(visitor.stream);
    }
    this.#open++;
    // Not within `#serve`: all that it knows of the request would stay as long as the WebSocket does.
    this.#serve(visitor).then(run).then(this.#onEnded, this.#onEnded);
  }

  /** One function for all: there are thousands of connections. */
  readonly #onEnded = () => {
    this.#open--;
    this.#settle();
  };

  async #serve(visitor: Visitor): Promise<TakenConnection | undefined> {
    const { stream, remoteAddr } = visitor;
    // An IPv4 peer of an IPv6 listener is what it is elsewhere.
    const address = { ...remoteAddr, hostname: remoteAddr.hostname.replace(/^::ffff:/, "") };
    // Of a proxy's connections nobody knows yet whose they are: none counts with another.
    const proxied = this.#options.proxies?.isProxy(address.hostname) === true;
    const arrival = new Arrival(stream, proxied ? `proxied ${address.port}` : address.hostname);
    this.#arrivals.add(arrival);
    try {
      return await this.#converse(visitor, arrival, address);
    } catch (error) {
      this.#arrivals.remove(arrival);
      closeQuietly(stream);
      throw error;
    }
  }

  async #converse(
    { stream: tcp, secure }: Visitor,
    arrival: Arrival,
    address: Deno.NetAddr,
  ): Promise<TakenConnection | undefined> {
    const { proxies } = this.#options;
    const arrivals = this.#arrivals;
    let early: Uint8Array<ArrayBuffer> = NOTHING;
    let remoteAddr = address;
    if (proxies?.isProxy(address.hostname) === true) {
      arrivals.enter(arrival, "proxy");
      const said = await readProxyHeader(tcp);
      early = said.rest;
      remoteAddr = said.source === undefined ? address : { ...address, ...said.source };
      arrivals.move(arrival, remoteAddr.hostname);
    }
    let stream = tcp;
    if (secure !== undefined) {
      arrivals.enter(arrival, "tls");
      stream = await secure(early);
      early = NOTHING;
    }
    return await serveConnection(this.#context, { arrival, stream, remoteAddr, early });
  }

  /** One text a second. */
  #dateText(): string {
    const seconds = Math.floor(Date.now() / 1_000);
    if (seconds === this.#date_seconds) return this.#date;
    this.#date_seconds = seconds;
    return this.#date = new Date(1_000 * seconds).toUTCString();
  }

  #settle(): void {
    if (this.#closing && this.#open === 0) this.#ended.resolve();
  }
}

const NOTHING = new Uint8Array(0);

function run(taken: TakenConnection | undefined): Promise<void> | undefined {
  return taken?.taker.run(taken.stream, taken.early);
}
