/**
 * Client sockets of Deno's own. They reassemble a fragmented message without a limit, do not report its size, and end
 * only when the peer closes, too: `memory_guard.ts` handles that. Nor can they pause reading: messages that arrive too
 * fast wait here, up to a limit.
 */
import { type RuntimeUpgrade, takeRuntimeUpgrade } from "../../shared/http1/runtime_exchange.ts";
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
import { NO_TURN, TURN_BYTES, TURN_FRAMES, Turns } from "../../shared/turns/fair_turns.ts";

/** The most waiting bytes of all connections together; a client that exceeds it is asked to leave. */
const ALL_WAITING_BYTES_MAX = 268_435_456;

type NativeOptions = Pick<SocketOptions, "heartbeat_ms" | "now_ms"> & {
  /** The limits of one connection's queued messages, as the runtime's reading cannot be paused. */
  readonly waiting_max: { readonly messages: number; readonly bytes: number };
};

/**
 * The runtime's own idle timeout. The runtime pings after half of it and closes sockets that stay silent for the other
 * half. A message that arrives while its ping is being written makes it lose a timer, which closes a healthy connection
 * later (Deno 2.9: of 6,000 idle ones a sixth within four minutes). So its ping must come clearly after the PING of our
 * own heartbeat, whose answer postpones it.
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
 * The request in the form that the runtime needs. The runtime looks for the chosen protocol among what ", " separates,
 * where the space is optional. A request in another form is passed to it with the choice as the only offer.
 */
function offering(request: Request, protocol: string | undefined): Request {
  const { headers } = request;
  const offered = headers.get("sec-websocket-protocol") ?? "";
  if (protocol === undefined || offered.split(", ").includes(protocol)) return request;
  // Only these are copied, as the headers live as long as the socket.
  const needed = ["connection", "sec-websocket-key", "upgrade"];
  const pairs = needed.map((name): [string, string] => [name, headers.get(name) ?? ""]);
  return lightCopyWith(request, new Headers([...pairs, ["sec-websocket-protocol", protocol]]));
}

const ONCE: AddEventListenerOptions = { once: true };

/**
 * A native socket, which is its own listener: a closure for each event would take memory per connection, and so does
 * each type of event (about 300 bytes in the runtime). So the listener of "open" is removed after the event, and
 * "close", which follows "error", covers errors.
 */
class NativeSocket implements ClientSocket, EventListenerObject, InboundOwner {
  readonly #socket: WebSocket;
  /** The runtime's upgrade; absent if the runtime accepts itself. */
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

  /** Reports that the peer disconnected before its upgrade was answered. */
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
      // Closing a socket whose peer has just disconnected throws, but it is closed then.
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
      // Messages before the close are delivered first.
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
 * The close code of an event. The runtime reports 0 without a close frame. Any other code without a close frame is the
 * runtime's own: the peer did not answer a ping.
 */
function codeOf({ code, wasClean }: CloseEvent): number {
  if (code === 0) return BROKEN;
  return wasClean ? code : PING_LOST;
}

/** One message, as the runtime hands it over. */
type Inbound = string | ArrayBuffer;

interface InboundOwner {
  /** Handles one message. Must not throw. */
  deliver(message: Inbound): void;
}

/** The bytes that a waiting message takes besides its own. */
const OVERHEAD_BYTES = 256;

const bytesOf = (message: Inbound) =>
  typeof message === "string" ? 2 * message.length : message.byteLength;

class InboundTurns {
  readonly #turns: Turns;
  readonly #owner: InboundOwner;
  #waiting: Inbound[] = [];
  #next = 0;
  #held_bytes = 0;
  #turn = NO_TURN;
  #frames = 0;
  #bytes = 0;
  /** True while messages wait for a later turn. */
  #waits = false;
  /** True while the connection waits for a later turn; it must wait only once, or it gets two shares. */
  #awaits_turn = false;
  #onEmpty: (() => void) | undefined;
  readonly #resume = () => this.#goOn();

  constructor(turns: Turns, owner: InboundOwner) {
    this.#turns = turns;
    this.#owner = owner;
  }

  get length(): number {
    return this.#waiting.length - this.#next;
  }

  /** The bytes of the queue, with its bookkeeping. */
  get held_bytes(): number {
    return this.#held_bytes;
  }

  take(message: Inbound): void {
    if (this.#waits) return this.#keep(message);
    const turn = this.#turns.enter();
    if (turn !== this.#turn) this.#begin(turn);
    if (this.#isOver() || this.#frames === 0 && this.#turns.isLate(bytesOf(message))) {
      this.#keep(message);
      return this.#giveWay();
    }
    this.#deliver(message);
  }

  clear(): void {
    this.#waiting = [];
    this.#next = 0;
    this.#count(-this.#held_bytes);
    this.#waits = false;
    const onEmpty = this.#onEmpty;
    this.#onEmpty = undefined;
    onEmpty?.();
  }

  /** Calls `then` once all queued messages are delivered or dropped; at once if the queue is empty. */
  finish(then: () => void): void {
    if (this.#held_bytes === 0) return then();
    this.#onEmpty = then;
  }

  /** Continues in a later turn. */
  #giveWay(): void {
    this.#waits = true;
    if (this.#awaits_turn) return;
    this.#awaits_turn = true;
    this.#turns.giveWay(this.#resume);
  }

  #keep(message: Inbound): void {
    this.#waiting.push(message);
    this.#count(OVERHEAD_BYTES + bytesOf(message));
  }

  #count(bytes: number): void {
    this.#held_bytes += bytes;
    this.#turns.held_bytes += bytes;
  }

  #begin(turn: number): void {
    this.#turn = turn;
    this.#frames = this.#bytes = 0;
    this.#turns.begin(this);
  }

  #isOver(): boolean {
    return this.#frames >= TURN_FRAMES || this.#bytes >= TURN_BYTES ||
      this.#turns.isLong(this.#frames);
  }

  #deliver(message: Inbound): void {
    this.#frames++;
    this.#bytes += bytesOf(message);
    this.#owner.deliver(message);
  }

  #goOn(): void {
    this.#awaits_turn = false;
    this.#begin(this.#turns.enter());
    while (this.#next < this.#waiting.length && !this.#isOver()) {
      const message = this.#waiting[this.#next] as Inbound;
      this.#waiting[this.#next++] = "";
      this.#count(-OVERHEAD_BYTES - bytesOf(message));
      this.#deliver(message);
    }
    if (this.#next === this.#waiting.length) return this.clear();
    if (this.#next > this.#waiting.length / 2) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
    this.#giveWay();
  }
}
