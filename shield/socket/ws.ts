/**
 * Client sockets of the npm package `ws`, on the connections of `shared/http1/listener.ts`. They bound a
 * message while it arrives, show how much there is of it, and can be cut off. The package knows no
 * heartbeat: it gets ours.
 */
import { Buffer } from "node:buffer";
import { WebSocketServer } from "ws";
import { takeBareUpgrade } from "../../shared/http1/exchange.ts";
import { NOTHING } from "../../shared/http1/inbound.ts";
import { UpgradeDuplex } from "../../shared/http1/upgrade_duplex.ts";
import { CLOSE_MS, CLOSING_READ_MS, PING_LOST, restOf, TOO_LONG } from "./client_socket.ts";
import type {
  ClientSocket,
  SocketEvents,
  SocketOptions,
  SocketServer,
  Upgraded,
} from "./client_socket.ts";
import { requireHandshake } from "./handshake.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { Beating } from "./heartbeat.ts";
import { InboundTurns } from "./inbound_turns.ts";
import type { Inbound, InboundOwner } from "./inbound_turns.ts";
import { NO_TURN, TURN_BYTES, Turns } from "../../shared/turns/turns.ts";

/** Header and mask of a client's control frame. */
const CONTROL_HEAD_BYTES = 6;
/** A peer that does not read gets no answers to its pings above this backlog, in bytes. */
const PONG_BACKLOG_BYTES = 65_536;
/**
 * Reasons for which a stream is not read: what came before waits, it had its turn, or it is closing.
 */
const HELD = 1, TURN = 2, CLOSING = 4;
const GOING_AWAY = 1001;

/** The part of the package's WebSocket that is used here; the package brings no types of its own. */
interface WsWebSocket {
  readonly bufferedAmount: number;
  readonly readyState: number;
  binaryType: string;
  send(data: string | Uint8Array): void;
  ping(): void;
  pong(data: Uint8Array): void;
  close(code: number, reason: string): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  on(event: "message", listener: (data: ArrayBuffer | Uint8Array, binary: boolean) => void): void;
  on(event: "ping" | "pong", listener: (data: Uint8Array) => void): void;
  on(event: "close", listener: (code: number) => void): void;
  on(event: "error", listener: (error: Error & { code?: string }) => void): void;
}

const OPEN = 1;

/** Makes sockets of package `ws`, for requests of a listener of `shared/http1`. */
export function wsSockets(options: SocketOptions): SocketServer {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    autoPong: false,
    maxPayload: options.max_message_bytes,
    closeTimeout: options.close_ms ?? CLOSE_MS,
  });
  const { heartbeat_ms, now_ms } = options;
  const heartbeat = new Heartbeat(heartbeat_ms);
  const shared = { heartbeat_ms, turns: new Turns(undefined, now_ms), corks: new Corks() };
  return {
    implementation: "ws",
    get waiting_bytes() {
      return shared.turns.held_bytes;
    },
    upgrade(request, protocol): Upgraded {
      requireHandshake(request);
      const upgrade = takeBareUpgrade(request);
      if (upgrade === undefined) throw new TypeError("not a request of our own listener");
      const stream = new UpgradeDuplex();
      const socket = new WsSocket(accept(server, request, stream, protocol), stream, shared);
      // The package writes its answer itself.
      upgrade.take(NOTHING, stream);
      return {
        socket,
        response: upgrade.response,
        listen(events) {
          heartbeat.add(socket);
          socket.listen(events, () => heartbeat.delete(socket));
        },
      };
    },
    close: () => heartbeat.close(),
  };
}

/** Accepts an upgrade; the 101 is with the stream before this returns. */
function accept(
  server: WebSocketServer,
  { headers }: Request,
  stream: UpgradeDuplex,
  protocol: string | undefined,
): WsWebSocket {
  const request = {
    method: "GET",
    url: "/",
    headers: {
      // The package wants this value alone, and it has been found in the list.
      upgrade: "websocket",
      "sec-websocket-key": headers.get("sec-websocket-key") ?? "",
      "sec-websocket-version": headers.get("sec-websocket-version") ?? "",
      // The protocol is chosen already: the package confirms a single one that is offered.
      ...(protocol === undefined ? {} : { "sec-websocket-protocol": protocol }),
    },
  };
  let accepted: WsWebSocket | undefined;
  // The package calls back before it returns.
  const take = (web_socket: WsWebSocket) => accepted = web_socket;
  server.handleUpgrade(request, stream, Buffer.alloc(0), take);
  if (accepted === undefined) throw new TypeError("the handshake was refused");
  return accepted;
}

/** Streams that hold back what the present turn writes, so that it leaves by one write each. */
class Corks {
  #streams: UpgradeDuplex[] = [];
  readonly #onEnd = () => {
    const streams = this.#streams;
    this.#streams = [];
    for (const stream of streams) stream.uncork();
  };

  add(stream: UpgradeDuplex): void {
    if (stream.writableCorked > 0) return;
    stream.cork();
    if (this.#streams.push(stream) === 1) queueMicrotask(this.#onEnd);
  }
}

/** What all sockets of one process share. */
interface WsShared {
  readonly heartbeat_ms: number;
  readonly turns: Turns;
  readonly corks: Corks;
}

class WsSocket implements ClientSocket, Beating, InboundOwner {
  readonly #socket: WsWebSocket;
  readonly #stream: UpgradeDuplex;
  readonly #shared: WsShared;
  /** Made with the first frame: a client that only hears needs none. */
  #inbound: InboundTurns | undefined;
  #events: SocketEvents | undefined;
  #closing = false;
  /** Why the stream is not read, as bits. */
  #pauses = 0;
  #turn = NO_TURN;
  #bytes_of_turn = 0;
  /** A ping that came beyond its turn: the last one is answered (RFC 6455, 5.5.3). */
  #late_ping: Uint8Array | undefined;
  /** Bytes of everything that has arrived whole. */
  #whole_bytes: number;
  heard_ms = performance.now();
  #pinged = false;
  #given_up = false;

  constructor(socket: WsWebSocket, stream: UpgradeDuplex, shared: WsShared) {
    this.#socket = socket;
    this.#stream = stream;
    this.#shared = shared;
    this.#whole_bytes = stream.bytesRead;
    socket.binaryType = "arraybuffer";
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  get unfinished_bytes(): number {
    const { bytesRead, readableLength } = this.#stream;
    return Math.max(0, bytesRead - readableLength - this.#whole_bytes);
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#closing) return;
    this.#shared.corks.add(this.#stream);
    this.#socket.send(frame);
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#socket.close(code, reason);
    this.#inbound?.clear();
  }

  rest(wait_ms: number): void {
    if (wait_ms === 0) this.#inbound?.wake();
    else this.#inbound?.rest(restOf(wait_ms, this.#shared.heartbeat_ms));
  }

  deliver(message: Inbound): void {
    this.#events?.message(typeof message === "string" ? message : new Uint8Array(message));
  }

  /** Pauses reading while the rest of a chunk waits in `#inbound`. */
  hold(held: boolean): void {
    if (held) return this.#pause(HELD);
    this.#resume(HELD);
    const ping = this.#late_ping;
    this.#late_ping = undefined;
    if (ping !== undefined) this.#pong(ping);
  }

  #pause(why: number): void {
    if (this.#pauses === 0) this.#socket.pause();
    this.#pauses |= why;
  }

  #resume(why: number): void {
    if (this.#pauses === 0) return;
    this.#pauses &= ~why;
    if (this.#pauses === 0) this.#socket.resume();
  }

  /** Takes note that a chunk has been read, whatever was in it. */
  #onData(bytes: number): void {
    if (this.#closing) {
      // This is read for the answer to our close frame, and is cut off when its time is over.
      this.#pause(CLOSING);
      return void setTimeout(() => this.#resume(CLOSING), CLOSING_READ_MS);
    }
    const { turns } = this.#shared;
    const turn = turns.enter();
    if (turn !== this.#turn) this.#bytes_of_turn = 0;
    this.#turn = turn;
    this.#bytes_of_turn += bytes;
    if (this.#bytes_of_turn < TURN_BYTES || (this.#pauses & TURN) !== 0) return;
    this.#pause(TURN);
    turns.giveWay(() => this.#resume(TURN));
  }

  #onPing(body: Uint8Array): void {
    this.#inbound ??= new InboundTurns(this.#shared.turns, this);
    if (this.#inbound.takeControl()) this.#pong(body);
    else this.#late_ping = body.slice();
  }

  #pong(body: Uint8Array): void {
    if (this.#closing || this.bufferedAmount > PONG_BACKLOG_BYTES) return;
    this.#shared.corks.add(this.#stream);
    this.#socket.pong(body);
  }

  terminate(): boolean {
    this.#socket.terminate();
    return true;
  }

  /** Sets the handlers; `onClosed` is called before `closed`. */
  listen(events: SocketEvents, onClosed: () => void): void {
    const socket = this.#socket;
    this.#events = events;
    let opened = false;
    const open = () => {
      if (opened) return;
      opened = true;
      events.opened();
    };
    queueMicrotask(open);
    socket.on("message", (data, binary) => {
      // This came together with the handshake.
      open();
      this.#heard();
      this.#whole_bytes = this.#stream.bytesRead;
      if (this.#closing) return;
      this.#inbound ??= new InboundTurns(this.#shared.turns, this);
      this.#inbound.take(binary ? data as ArrayBuffer : decoder.decode(data));
    });
    for (const event of ["ping", "pong"] as const) {
      socket.on(event, (body) => {
        this.#heard();
        this.#whole_bytes += CONTROL_HEAD_BYTES + body.length;
        if (event === "ping") this.#onPing(body);
      });
    }
    this.#stream.on("data", ({ length }: Uint8Array) => this.#onData(length));
    // A close follows each error, and tells as much.
    let failed = 0;
    socket.on("error", ({ code }) => failed = code === TOO_LARGE ? TOO_LONG : 0);
    socket.on("close", (code) => {
      open();
      onClosed();
      const closed = () => events.closed(this.#given_up ? PING_LOST : failed === 0 ? code : failed);
      // Messages that came before the close were sent before it.
      if (this.#inbound === undefined) closed();
      else this.#inbound.finish(closed);
    });
  }

  sendPing(): void {
    if (this.#pinged || this.#socket.readyState !== OPEN) return;
    this.#pinged = true;
    this.#socket.ping();
  }

  giveUp(): void {
    if (this.#socket.readyState !== OPEN) return;
    this.#given_up = true;
    this.#socket.close(GOING_AWAY, "No response from ping frame.");
    // The end comes after the time that the close frame needs to leave; a peer that is gone answers no
    // close.
    setTimeout(() => this.#socket.terminate(), 0);
  }

  #heard(): void {
    this.heard_ms = performance.now();
    this.#pinged = false;
  }
}

const TOO_LARGE = "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH";
// A BOM is part of what the client says, as with Deno's own sockets.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
