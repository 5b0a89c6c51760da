/**
 * The sockets of `transport` "http" and "auto". "auto" uses a WebSocket, and HTTP where a proxy breaks it; that is
 * remembered for the origin, and WebSocket is retried later.
 */
import type { ConnectOptions, SocketLike, WebSocketConstructor } from "../options/options.ts";
import { HttpSocket } from "./http_socket.ts";

/** The options with the class for "auto" or "http". Throws TypeError for another value. */
export function over(options: ConnectOptions): ConnectOptions {
  const { transport, webSocket = globalThis.WebSocket } = options;
  if (transport === "http") return { ...options, webSocket: HttpSocket };
  if (transport === "auto") return { ...options, webSocket: fallbackSocket(webSocket) };
  // The text of `wrongOption`; importing that would enlarge the main bundle.
  const given = JSON.stringify(transport);
  throw new TypeError(`transport is ${given}; expected "auto" or "websocket" or "http"`);
}

/** How long WebSocket is not retried after it was broken, in ms. */
const REMEMBERED_MS = 600_000;
/** How long a WebSocket has for its first message before HTTP is tried, in ms. */
const FIRST_MESSAGE_MS = 4_000;
/** A WebSocket that breaks sooner than this, in ms, may be cut by a proxy; this many in a row are. */
const SHORT_MS = 10_000;
const SHORT_LIVES = 2;
const BROKEN = 1006;

/** The known state of an origin. */
interface Known {
  /** HTTP is used until this time, in ms of `elapsed`. */
  http_until_ms: number;
  /** Consecutive WebSockets that broke soon after opening. */
  short_lives: number;
}

/** The known states of all origins, and a clock. */
export interface Memory {
  readonly origins: Map<string, Known>;
  /** Milliseconds since some moment. */
  readonly elapsed: () => number;
}

const MEMORY: Memory = { origins: new Map(), elapsed: () => performance.now() };

/** The class of such sockets, which share the memory; `webSocket` is undefined if the platform has none. */
export function fallbackSocket(
  webSocket: WebSocketConstructor | undefined,
  memory: Memory = MEMORY,
): WebSocketConstructor {
  return class extends FallbackSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, webSocket, memory);
    }
  };
}

class FallbackSocket implements SocketLike {
  binaryType = "arraybuffer";
  onmessage: SocketLike["onmessage"] = null;
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  readonly #memory: Memory;
  readonly #known: Known;
  readonly #openHttp: () => SocketLike;
  #socket: SocketLike;
  #opened_ms: number | undefined;
  #is_closing = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    url: string,
    protocols: string[],
    webSocket: WebSocketConstructor | undefined,
    memory: Memory,
  ) {
    const { origins } = this.#memory = memory;
    const { host } = new URL(url);
    this.#known = origins.get(host) ?? { http_until_ms: 0, short_lives: 0 };
    origins.set(host, this.#known);
    this.#openHttp = () => new HttpSocket(url, protocols);
    if (webSocket === undefined || memory.elapsed() < this.#known.http_until_ms) {
      this.#socket = this.#overHttp();
      return;
    }
    const socket = this.#socket = new webSocket(url, protocols);
    socket.binaryType = this.binaryType;
    socket.onmessage = (event) => {
      clearTimeout(this.#timer);
      this.#opened_ms ??= memory.elapsed();
      this.onmessage?.(event);
    };
    socket.onerror = (event) =>
      this.#opened_ms === undefined ? this.#fall() : this.onerror?.(event);
    socket.onclose = (event) => {
      if (this.#opened_ms === undefined) return this.#fall();
      this.#lived(memory.elapsed() - this.#opened_ms, event.code);
      this.onclose?.(event);
    };
    this.#timer = setTimeout(() => this.#fall(), FIRST_MESSAGE_MS);
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  get progress(): string {
    return this.#socket.progress ?? "";
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(frame);
  }

  close(code?: number, reason?: string): void {
    this.#is_closing = true;
    clearTimeout(this.#timer);
    this.#socket.close(code, reason);
  }

  /** Records how long a WebSocket was open. */
  #lived(lived_ms: number, code: number): void {
    if (code !== BROKEN || this.#is_closing || lived_ms >= SHORT_MS) this.#known.short_lives = 0;
    else if (++this.#known.short_lives >= SHORT_LIVES) this.#remember();
  }

  #remember(): void {
    this.#known.short_lives = 0;
    this.#known.http_until_ms = this.#memory.elapsed() + REMEMBERED_MS;
  }

  /** The WebSocket did not open: uses HTTP instead, unless the socket was closed. */
  #fall(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    socket.onmessage = socket.onerror = socket.onclose = null;
    if (this.#is_closing) return this.onclose?.({ code: BROKEN, reason: "" });
    try {
      socket.close();
    } catch {
      // Not every platform can close a socket that never opened.
    }
    this.#socket = this.#overHttp();
  }

  /** Opens HTTP: if it opens and WebSocket did not, that is remembered. */
  #overHttp(): SocketLike {
    const socket = this.#openHttp();
    let is_open = false;
    socket.onmessage = (event) => {
      if (!is_open && this.#memory.elapsed() >= this.#known.http_until_ms) this.#remember();
      is_open = true;
      this.onmessage?.(event);
    };
    socket.onerror = (event) => this.onerror?.(event);
    socket.onclose = (event) => {
      // If HTTP does not open either, the bus is unreachable, which proves nothing about WebSocket.
      if (!is_open) this.#known.http_until_ms = 0;
      this.onclose?.(event);
    };
    return socket;
  }
}
