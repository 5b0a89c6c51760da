/**
 * Client sockets of Deno's own. They put a fragmented message together without bound, do not show
 * how much there is of it, and end only when the peer closes too: `memory_guard.ts` lives with that.
 */
import { BROKEN, PING_LOST, requireHandshake } from "./client_socket.ts";
import type {
  ClientSocket,
  SocketEvents,
  SocketOptions,
  SocketServer,
  Upgraded,
} from "./client_socket.ts";

/**
 * The runtime pings after half of this and ends what stays silent for the other half. A message that
 * comes while its ping is being written makes it forget a timer, which ends a healthy connection later
 * (Deno 2.9: of 6,000 idle ones a sixth within four minutes). So its ping must come clearly after the
 * PING of our own heartbeat, whose answer puts it off.
 */
export function idleTimeout_seconds(heartbeat_ms: number): number {
  return Math.ceil(heartbeat_ms * 3 / 1_000) + 1;
}

/** `Deno.upgradeWebSocket`, as a `SocketServer`. */
export function nativeSockets(options: Pick<SocketOptions, "heartbeat_ms">): SocketServer {
  const idleTimeout = idleTimeout_seconds(options.heartbeat_ms);
  return {
    implementation: "native",
    upgrade(request, protocol): Upgraded {
      requireHandshake(request);
      const { socket, response } = Deno.upgradeWebSocket(request, {
        ...(protocol === undefined ? {} : { protocol }),
        idleTimeout,
      });
      socket.binaryType = "arraybuffer";
      return {
        socket: new NativeSocket(socket),
        response,
        listen: (events) => listen(socket, events),
      };
    },
    close() {},
  };
}

class NativeSocket implements ClientSocket {
  readonly unfinished_bytes: undefined;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(frame);
  }

  close(code: number, reason: string): void {
    try {
      this.#socket.close(code, reason);
    } catch {
      // Closing a socket whose peer has just gone throws; gone is what was asked for.
    }
  }

  terminate(): boolean {
    return false;
  }
}

function listen(socket: WebSocket, events: SocketEvents): void {
  let silent = false;
  let closed = false;
  socket.onopen = () => events.opened();
  socket.onmessage = (event) => events.message(event.data);
  socket.onerror = (event) => {
    // The runtime reports a ping without an answer as an error, then closes with its own code.
    silent = event instanceof ErrorEvent && event.message.includes("ping");
  };
  socket.onclose = (event) => {
    // For a peer that answers no ping there are two of these events.
    if (closed) return;
    closed = true;
    // The runtime says 0 when no close frame came.
    events.closed(silent ? PING_LOST : event.code === 0 ? BROKEN : event.code);
  };
}
