/**
 * The client listener on the runtime's TCP: it accepts, goes on when descriptors run out, bounds who
 * has shown no token yet, reads what a trusted proxy says, and speaks TLS by `node:tls`. HTTP is
 * `exchange.ts`; the listener of `listen.ts` on the runtime's own HTTP server is the other kind.
 */
import { createSecureContext } from "node:tls";
import type { SecureContext } from "node:tls";
import type { TlsPair } from "../tls_reload.ts";
import { Arrival, Arrivals } from "./arrivals.ts";
import type { ArrivalLimits, ArrivalStats } from "./arrivals.ts";
import { acceptTls, closeQuietly } from "./byte_stream.ts";
import type { ByteStream } from "./byte_stream.ts";
import { serveConnection } from "./exchange.ts";
import type { ExchangeContext, TakenConnection } from "./exchange.ts";
import type { Handler } from "../http_handler.ts";
import { readProxyHeader } from "./proxy.ts";
import type { ProxyRule } from "./proxy.ts";

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

const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1_000;
/** Failures in a row, some 30 s of them, without a connection in between: it will not come back. */
const FAILURES_MAX = 40;

/** Throws the runtime's own error when the address is taken, forbidden or not of this machine. */
export function listenBare(options: BareListenOptions): BareListener {
  return new Listening(options);
}

class Listening implements BareListener {
  readonly port: number;
  readonly #options: BareListenOptions;
  readonly #listener: Deno.TcpListener;
  readonly #arrivals: Arrivals;
  readonly #context: ExchangeContext;
  readonly #ended = Promise.withResolvers<void>();
  #secure: SecureContext | undefined;
  #closing = false;
  #open = 0;
  #failures = 0;
  #accept_failures = 0;
  #refused = 0;
  #date = "";
  #date_seconds = 0;

  constructor(options: BareListenOptions) {
    const { host, port, tls, reuse_port = false, limits } = options;
    this.#options = options;
    this.#secure = tls === undefined ? undefined : createSecureContext({ ...tls });
    const shared = reuse_port ? { reusePort: true } : {};
    this.#listener = Deno.listen({ hostname: host, port, ...shared });
    this.port = this.#listener.addr.port;
    this.#arrivals = new Arrivals(limits, options.now ?? (() => performance.now()));
    this.#context = {
      handler: options.handler,
      secure: tls !== undefined,
      arrivals: this.#arrivals,
      isClosing: () => this.#closing,
      date: () => this.#dateText(),
    };
    void this.#acceptAll();
  }

  get stats(): BareListenStats {
    const { stats } = this.#arrivals;
    const { strangers, evicted, timeouts } = stats;
    const counted = { accept_failures: this.#accept_failures, refused: this.#refused };
    return { strangers, evicted, timeouts, open: this.#open, ...counted };
  }

  shutdown(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#listener.close();
      this.#arrivals.end(false);
      this.#settle();
    }
    return this.#ended.promise;
  }

  abandon(): void {
    this.#arrivals.end(true);
  }

  renew(pair: TlsPair): void {
    this.#secure = createSecureContext({ ...pair });
  }

  async #acceptAll(): Promise<void> {
    while (!this.#closing) {
      let conn: Deno.TcpConn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        if (this.#closing) return;
        if (!await this.#onFailure(error as Error)) return;
        continue;
      }
      this.#failures = 0;
      this.#take(conn);
    }
  }

  /** Waits, longer each time: what ran out comes back when somebody leaves. False when it is over. */
  async #onFailure(error: Error): Promise<boolean> {
    this.#accept_failures++;
    const gone = error instanceof Deno.errors.BadResource || ++this.#failures > FAILURES_MAX;
    if (gone) {
      this.#options.onGone(error);
      return false;
    }
    const wait_ms = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (this.#failures - 1));
    await new Promise((resolve) => setTimeout(resolve, wait_ms));
    return true;
  }

  #take(conn: Deno.TcpConn): void {
    if (this.#open >= this.#options.limits.descriptors && !this.#arrivals.makeRoom()) {
      this.#refused++;
      return closeQuietly(conn);
    }
    this.#open++;
    // Not within `#serve`: all that it knows of the request would stay as long as the WebSocket does.
    this.#serve(conn).then(run).then(this.#onEnded, this.#onEnded);
  }

  /** One function for all: there are thousands of connections. */
  readonly #onEnded = () => {
    this.#open--;
    this.#settle();
  };

  async #serve(conn: Deno.TcpConn): Promise<TakenConnection | undefined> {
    const remote = conn.remoteAddr as Deno.NetAddr;
    let arrival: Arrival | undefined;
    try {
      // A peer that has reset the connection meanwhile makes this throw.
      conn.setNoDelay(true);
      // An IPv4 peer of an IPv6 listener is what it is elsewhere.
      const address = { ...remote, hostname: remote.hostname.replace(/^::ffff:/, "") };
      // Of a proxy's connections nobody knows yet whose they are: none counts with another.
      const proxied = this.#options.proxies?.isProxy(address.hostname) === true;
      arrival = new Arrival(conn, proxied ? `proxied ${address.port}` : address.hostname);
      this.#arrivals.add(arrival);
      return await this.#converse(conn, arrival, address);
    } catch (error) {
      if (arrival !== undefined) this.#arrivals.remove(arrival);
      closeQuietly(conn);
      throw error;
    }
  }

  async #converse(
    conn: Deno.TcpConn,
    arrival: Arrival,
    address: Deno.NetAddr,
  ): Promise<TakenConnection | undefined> {
    const { proxies } = this.#options;
    const arrivals = this.#arrivals;
    let early: Uint8Array<ArrayBuffer> = NOTHING;
    let remote = address;
    if (proxies?.isProxy(address.hostname) === true) {
      arrivals.enter(arrival, "proxy");
      const said = await readProxyHeader(conn);
      early = said.rest;
      remote = said.source === undefined ? address : { ...address, ...said.source };
      arrivals.move(arrival, remote.hostname);
    }
    const secure = this.#secure;
    let stream: ByteStream = conn;
    if (secure !== undefined) {
      arrivals.enter(arrival, "tls");
      stream = await acceptTls(conn, secure, early);
      early = NOTHING;
    }
    return await serveConnection(this.#context, { arrival, stream, remoteAddr: remote, early });
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
