/**
 * Client sockets of the npm package `ws`, on the upgrades of `shared/node_listen.ts`. They bound a
 * message while it arrives, show how much there is of it, and can be cut off. The package knows no
 * heartbeat: it gets ours.
 */
import { WebSocketServer } from "ws";
import { takeUpgrade } from "../../shared/node_listen.ts";
import type { NodeUpgrade } from "../../shared/node_listen.ts";
import { PING_LOST, TOO_LONG } from "./client_socket.ts";
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

/** How long a peer may take to answer a close frame; then it is cut off. The guard judges earlier. */
const CLOSE_MS = 5_000;
/** Header and mask of a client's control frame. */
const CONTROL_HEAD_BYTES = 6;
const GOING_AWAY = 1001;

/** As much of the package's WebSocket as is used here; it brings no types of its own. */
interface WsWebSocket {
  readonly bufferedAmount: number;
  readonly readyState: number;
  binaryType: string;
  send(data: string | Uint8Array): void;
  ping(): void;
  close(code: number, reason: string): void;
  terminate(): void;
  on(event: "message", listener: (data: ArrayBuffer | Uint8Array, binary: boolean) => void): void;
  on(event: "ping" | "pong", listener: (data: Uint8Array) => void): void;
  on(event: "close", listener: (code: number) => void): void;
  on(event: "error", listener: (error: Error & { code?: string }) => void): void;
}

const OPEN = 1;

/** Package `ws`, as a `SocketServer`, for requests of a `node_listen.ts` listener. */
export function wsSockets(options: SocketOptions): SocketServer {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: options.max_message_bytes,
    closeTimeout: CLOSE_MS,
  });
  const heartbeat = new Heartbeat(options.heartbeat_ms);
  return {
    implementation: "ws",
    upgrade(request, protocol): Upgraded {
      requireHandshake(request);
      const upgrade = takeUpgrade(request);
      if (upgrade === undefined) throw new TypeError("not a request of a node:http listener");
      const web_socket = accept(server, upgrade, protocol);
      const socket = new WsSocket(web_socket, upgrade.socket);
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

/** The 101 is written before this returns. */
function accept(
  server: WebSocketServer,
  { request, socket, head }: NodeUpgrade,
  protocol: string | undefined,
): WsWebSocket {
  const { headers } = request;
  // The package wants it alone, and it has been found in the list.
  headers.upgrade = "websocket";
  // The choice is made: of a single one offered, the package confirms that one.
  if (protocol === undefined) delete headers["sec-websocket-protocol"];
  else headers["sec-websocket-protocol"] = protocol;
  let accepted: WsWebSocket | undefined;
  // It calls back before it returns.
  server.handleUpgrade(request, socket, head, (web_socket: WsWebSocket) => accepted = web_socket);
  if (accepted === undefined) throw new TypeError("the handshake was refused");
  return accepted;
}

class WsSocket implements ClientSocket, Beating {
  readonly #socket: WsWebSocket;
  readonly #stream: NodeUpgrade["socket"];
  /** Bytes of everything that has arrived whole. */
  #whole_bytes: number;
  heard_ms = performance.now();
  #pinged = false;
  #given_up = false;

  constructor(socket: WsWebSocket, stream: NodeUpgrade["socket"]) {
    this.#socket = socket;
    this.#stream = stream;
    this.#whole_bytes = stream.bytesRead;
    socket.binaryType = "arraybuffer";
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  get unfinished_bytes(): number {
    return Math.max(0, this.#stream.bytesRead - this.#whole_bytes);
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(frame);
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  rest(): void {}

  terminate(): boolean {
    this.#socket.terminate();
    return true;
  }

  /** `onClosed` comes before `closed`. */
  listen(events: SocketEvents, onClosed: () => void): void {
    const socket = this.#socket;
    let opened = false;
    const open = () => {
      if (opened) return;
      opened = true;
      events.opened();
    };
    queueMicrotask(open);
    socket.on("message", (data, binary) => {
      // What came together with the handshake.
      open();
      this.#heard();
      this.#whole_bytes = this.#stream.bytesRead;
      if (binary) events.message(data as ArrayBuffer);
      else events.message(decoder.decode(data));
    });
    for (const event of ["ping", "pong"] as const) {
      socket.on(event, ({ length }) => {
        this.#heard();
        this.#whole_bytes += CONTROL_HEAD_BYTES + length;
      });
    }
    // A close follows each error, and says as much.
    let failed = 0;
    socket.on("error", ({ code }) => failed = code === TOO_LARGE ? TOO_LONG : 0);
    socket.on("close", (code) => {
      open();
      onClosed();
      events.closed(this.#given_up ? PING_LOST : failed === 0 ? code : failed);
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
    // After what the close frame needs to leave; a peer that is gone answers no close.
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
