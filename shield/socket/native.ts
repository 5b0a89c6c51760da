/**
 * Client sockets of Deno's own. They put a fragmented message together without bound, do not show
 * how much there is of it, and end only when the peer closes too: `memory_guard.ts` lives with that.
 * Nor can they stop reading: what comes faster than in its turn waits here, up to a bound.
 */
import { takeRuntimeUpgrade } from "../../shared/http1/runtime_exchange.ts";
import type { RuntimeUpgrade } from "../../shared/http1/runtime_exchange.ts";
import { lightCopyWith } from "./light_copy.ts";
import { BROKEN, PING_LOST } from "./client_socket.ts";
import type {
  ClientSocket,
  SocketEvents,
  SocketOptions,
  SocketServer,
  Upgraded,
} from "./client_socket.ts";
import { requireHandshake } from "./handshake.ts";
import { InboundTurns } from "./inbound_turns.ts";
import type { Inbound, InboundOwner } from "./inbound_turns.ts";
import { Turns } from "../../shared/turns/turns.ts";

/**
 * The most that may wait of all connections together, in bytes; a client that adds to it is told to go.
 */
const ALL_WAITING_BYTES_MAX = 268_435_456;

type NativeOptions = Pick<SocketOptions, "heartbeat_ms" | "now_ms"> & {
  /** What may wait of one connection for its turn, as nothing can stop the runtime's reading. */
  readonly waiting_max: { readonly messages: number; readonly bytes: number };
};

/**
 * The runtime's own idle timeout. The runtime pings after half of it and ends what stays silent for the
 * other half. A message that comes while its ping is being written makes it forget a timer, which ends
 * a healthy connection later (Deno 2.9: of 6,000 idle ones a sixth within four minutes). So its ping
 * must come clearly after the PING of our own heartbeat, whose answer puts it off.
 */
export function idleTimeout_seconds(heartbeat_ms: number): number {
  return Math.ceil(heartbeat_ms * 3 / 1_000) + 1;
}

/** `Deno.upgradeWebSocket`, as a `SocketServer`. */
export function nativeSockets(options: NativeOptions): SocketServer {
  const idleTimeout = idleTimeout_seconds(options.heartbeat_ms);
  const turns = new Turns(undefined, options.now_ms);
  return {
    implementation: "native",
    get waiting_bytes() {
      return turns.held_bytes;
    },
    upgrade(request, protocol): Upgraded {
      requireHandshake(request);
      const { socket, response } = Deno.upgradeWebSocket(offering(request, protocol), {
        ...(protocol === undefined ? {} : { protocol }),
        idleTimeout,
      });
      socket.binaryType = "arraybuffer";
      const upgrade = takeRuntimeUpgrade(request);
      const client = new NativeSocket(socket, upgrade, turns, options.waiting_max);
      upgrade?.take(client);
      return { socket: client, response, listen: (events) => client.listen(events) };
    },
    close() {},
  };
}

/**
 * The request as the runtime must see it. The runtime looks for the chosen protocol among what ", "
 * separates, where the space is optional. A request that is written otherwise is shown to it with the
 * choice as the only offer.
 */
function offering(request: Request, protocol: string | undefined): Request {
  const { headers } = request;
  const offered = headers.get("sec-websocket-protocol") ?? "";
  if (protocol === undefined || offered.split(", ").includes(protocol)) return request;
  // Only these are copied, as the headers stay as long as the socket.
  const needed = ["connection", "sec-websocket-key", "upgrade"];
  const pairs = needed.map((name): [string, string] => [name, headers.get(name) ?? ""]);
  return lightCopyWith(request, new Headers([...pairs, ["sec-websocket-protocol", protocol]]));
}

const ONCE: AddEventListenerOptions = { once: true };

/**
 * A native socket, which is its own listener: a function for each event would take memory of every
 * connection, and so does each type of event that is listened to (some 300 bytes in the runtime). So
 * "open" is removed when it has come, and what "error" says is heard with "close", which follows it.
 */
class NativeSocket implements ClientSocket, EventListenerObject, InboundOwner {
  readonly #socket: WebSocket;
  /** The runtime's upgrade; absent where the runtime accepts on its own. */
  readonly #upgrade: RuntimeUpgrade | undefined;
  readonly #turns: Turns;
  readonly #waiting_max: NativeOptions["waiting_max"];
  #events: SocketEvents | undefined;
  /** Made with the first message: a client that only receives needs none. */
  #inbound: InboundTurns | undefined;
  #closing = false;

  constructor(
    socket: WebSocket,
    upgrade: RuntimeUpgrade | undefined,
    turns: Turns,
    waiting_max: NativeOptions["waiting_max"],
  ) {
    this.#socket = socket;
    this.#upgrade = upgrade;
    this.#turns = turns;
    this.#waiting_max = waiting_max;
  }

  /** Takes note that the peer had gone before its upgrade was answered. */
  lost(): void {
    this.#events?.closed(BROKEN);
    this.#events = undefined;
  }

  get unfinished_bytes(): undefined {
    return undefined;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(frame);
  }

  close(code: number, reason: string): void {
    this.#closing = true;
    this.#forget();
    try {
      this.#socket.close(code, reason);
    } catch {
      // Closing a socket whose peer has just gone throws, but gone is what was asked for.
    }
  }

  rest(): void {}

  terminate(): boolean {
    return false;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
    this.#socket.addEventListener("open", this, ONCE);
    this.#socket.addEventListener("message", this);
    this.#socket.addEventListener("close", this);
  }

  handleEvent(event: Event): void {
    const events = this.#events;
    // A peer that answers no ping causes two close events.
    if (events === undefined) return;
    if (event.type === "message") this.#take((event as MessageEvent).data);
    else if (event.type === "open") events.opened();
    else {
      this.#upgrade?.ended();
      const code = codeOf(event as CloseEvent);
      const closed = () => {
        this.#events = undefined;
        events.closed(code);
      };
      // Messages that came before the close were sent before it.
      if (this.#inbound === undefined) closed();
      else this.#inbound.finish(closed);
    }
  }

  #take(message: Inbound): void {
    if (this.#closing) return;
    const turns = this.#turns;
    const inbound = this.#inbound ??= new InboundTurns(turns, this);
    inbound.take(message);
    const { length, held_bytes } = inbound;
    if (length === 0) return;
    const { messages, bytes } = this.#waiting_max;
    const fits = length <= messages && (held_bytes <= bytes || length === 1) &&
      turns.held_bytes <= ALL_WAITING_BYTES_MAX;
    if (fits) return;
    this.#forget();
    this.#events?.flooded();
  }

  deliver(message: Inbound): void {
    this.#events?.message(typeof message === "string" ? message : new Uint8Array(message));
  }

  #forget(): void {
    this.#inbound?.clear();
  }
}

/**
 * The close code of an event. The runtime says 0 when no close frame came. A code without a close frame
 * is the runtime's own: it has given up a peer that answered no ping.
 */
function codeOf({ code, wasClean }: CloseEvent): number {
  if (code === 0) return BROKEN;
  return wasClean ? code : PING_LOST;
}
