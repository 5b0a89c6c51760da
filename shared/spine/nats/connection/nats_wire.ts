/**
 * A fast path for messages beside nats.js: it reads them from the bytes of nats.js' socket, and writes them into one
 * buffer that is passed to the socket once a turn, because an array, a copy and a write for each message cost more
 * than the message. Connecting, subscribing, reconnecting and the rest are done by nats.js; the order on the wire is
 * the order of the calls.
 */
import { ArqonError } from "@arqon/proto";
import type {
  NatsConnection,
  Subscription as NatsSubscription,
  SubscriptionOptions,
} from "@nats-io/transport-deno";
import type { Logger } from "../../../logs/log.ts";
import { FrameScanner, type MessageFrame } from "./nats_frames.ts";
import { setImmediate } from "node:timers";

/** The receiver of one subscription's messages. */
export interface FrameTaker {
  readonly pattern: string;
  /** Takes a message; the frame is valid until it returns. May throw. */
  take(frame: MessageFrame): void;
  /** The server does not permit the subscription. */
  refused(error: Error): void;
}

/** The socket as the wire uses it: `send` may keep the bytes. */
export interface Carrier {
  readonly isClosed: boolean;
  send(bytes: Uint8Array): void;
}

/** Promises that nats.js awaits in an iterator subscription; here they are resolved from the start. */
const IDLE_PROMISES = ["signal", "iterClosed", "closed"];
const OVER = Object.assign(Promise.resolve(), { resolve() {}, reject() {} });

/**
 * nats.js (3.4.0) creates three promises for each subscription, two thirds of its memory. A callback subscription needs
 * none of them, so all subscriptions share one.
 */
function shareIdlePromises(subscription: NatsSubscription): void {
  for (const name of IDLE_PROMISES) {
    if (Reflect.get(subscription, name) instanceof Promise) Reflect.set(subscription, name, OVER);
  }
}

interface Line {
  readonly carrier: Carrier;
  readonly out: OutBuffer;
}

/** The fast path of one connection, through all its reconnects. */
export class Wire {
  readonly #log: Logger;
  /** The takers by the number of their subscription. */
  readonly #takers = new Map<number, FrameTaker>();
  #connection: NatsConnection | undefined;
  /** The newest socket, and the same once nats.js has greeted the server on it. */
  #latest: Line | undefined;
  #line: Line | undefined;
  /** nats.js queues commands until the end of the turn: they must be sent before later messages. */
  #is_behind = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether the newest socket is open. */
  get is_open(): boolean {
    return this.#latest !== undefined && !this.#latest.carrier.isClosed;
  }

  /** Called when a socket of this connection opens. Its reads go through the scanner, and then to nats.js. */
  open(carrier: Carrier): { readonly scanner: FrameScanner; readonly out: OutBuffer } {
    const out = new OutBuffer((bytes) => carrier.send(bytes));
    this.#latest = { carrier, out };
    return { scanner: new FrameScanner((frame) => this.#take(frame)), out };
  }

  /** Called when nats.js has sent its queue. */
  caughtUp(): void {
    this.#is_behind = false;
  }

  /** Called when nats.js is connected. */
  ready(connection: NatsConnection): void {
    this.#connection = connection;
    this.#line = this.#latest;
  }

  lost(): void {
    this.#line = undefined;
  }

  /** Called when nats.js has queued a command that must be sent before later publishes. */
  behind(): void {
    this.#is_behind = true;
  }

  /** Called when nats.js will send at the end of this turn: publishes are sent with it. */
  hold(): void {
    this.#line?.out.hold();
  }

  /** Passes published messages to the socket now. */
  flush(): void {
    this.#line?.out.flush();
  }

  /** Passes a message to the socket at the end of the turn. Throws `spine-unavailable`. */
  publish(outgoing: Outgoing): void {
    if (this.#line === undefined || this.#line.carrier.isClosed) {
      throw new ArqonError("spine-unavailable", "the connection to NATS is being lost");
    }
    // It writes the queue of nats.js; the answer is ignored.
    if (this.#is_behind) this.#connection?.flush().catch(() => {});
    this.#line.out.publish(outgoing);
  }

  /** Delivers the messages of the taker's pattern to it, until it is passed to `unsubscribe`. */
  subscribe(taker: FrameTaker, options: Pick<SubscriptionOptions, "queue"> = {}): NatsSubscription {
    const connection = this.#connection;
    if (connection === undefined) throw new TypeError("not connected yet");
    const subscription = connection.subscribe(taker.pattern, {
      ...options,
      callback: (error) => {
        if (error !== null) taker.refused(error);
      },
    });
    shareIdlePromises(subscription);
    this.#takers.set(subscription.getID(), taker);
    this.behind();
    return subscription;
  }

  unsubscribe(subscription: NatsSubscription): void {
    this.#takers.delete(subscription.getID());
    if (this.#connection?.isClosed() === false) subscription.unsubscribe();
  }

  #take(frame: MessageFrame): boolean {
    const taker = this.#takers.get(frame.sid);
    if (taker === undefined) return false;
    try {
      taker.take(frame);
    } catch (error) {
      this.#log.error("a Spine handler threw", { pattern: taker.pattern, error });
    }
    return true;
  }
}

const BUFFER_BYTES = 65_536;
/** Bytes that are flushed before the turn ends; nats.js' own bound. */
const FLUSH_BYTES = 32_768;
/** Bytes of a control line beside its subjects: verb, sizes and line end. */
const LINE_BYTES = 64;
const ZERO = 0x30;
const encoder = new TextEncoder();

/** A message to be sent. */
export interface Outgoing {
  /** The subject, checked: ASCII without white space. */
  readonly subject: string;
  /** The reply subject, checked as well; "": none. */
  readonly reply: string;
  /** The whole header block, "" for none, and its bytes. */
  readonly block: string;
  readonly block_bytes: number;
  readonly payload: Uint8Array;
}

/** The outgoing bytes of one socket. */
export class OutBuffer {
  readonly #write: (bytes: Uint8Array) => void;
  #bytes = new Uint8Array(BUFFER_BYTES);
  #used = 0;
  #scheduled = false;
  readonly #endTurn = () => {
    this.#scheduled = false;
    if (!this.#held) this.flush();
  };
  #held = false;

  /** `write` may keep the bytes that it gets. */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  /** Writes a message; its payload is copied. */
  publish({ subject, reply, block, block_bytes, payload }: Outgoing): void {
    const size_bytes = block_bytes + payload.length;
    this.#reserve(LINE_BYTES + subject.length + reply.length + size_bytes);
    this.#ascii(block_bytes === 0 ? "PUB " : "HPUB ");
    this.#ascii(subject);
    this.#ascii(" ");
    if (reply !== "") {
      this.#ascii(reply);
      this.#ascii(" ");
    }
    if (block_bytes > 0) {
      this.#number(block_bytes);
      this.#ascii(" ");
    }
    this.#number(size_bytes);
    this.#ascii("\r\n");
    if (block_bytes === block.length) this.#ascii(block);
    else this.#used += encoder.encodeInto(block, this.#bytes.subarray(this.#used)).written;
    this.#bytes.set(payload, this.#used);
    this.#used += payload.length;
    this.#ascii("\r\n");
    if (this.#used >= FLUSH_BYTES) this.flush();
    else this.#schedule();
  }

  /** Appends bytes and flushes the buffer at once. */
  send(bytes: Uint8Array): void {
    this.#held = false;
    if (this.#used === 0) return this.#write(bytes);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.length;
    this.flush();
  }

  /** Leaves the flush of this turn to the caller, which calls `flush` or `send` at its end. */
  hold(): void {
    this.#held = true;
  }

  /** Passes the buffered bytes to the socket. */
  flush(): void {
    this.#held = false;
    if (this.#used === 0) return;
    const bytes = this.#bytes;
    const used = this.#used;
    this.#used = 0;
    if (bytes.length === BUFFER_BYTES) return this.#write(bytes.slice(0, used));
    this.#bytes = new Uint8Array(BUFFER_BYTES);
    this.#write(bytes.subarray(0, used));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#endTurn);
  }

  #reserve(size_bytes: number): void {
    if (this.#used + size_bytes <= this.#bytes.length) return;
    this.flush();
    if (size_bytes > BUFFER_BYTES) this.#bytes = new Uint8Array(size_bytes);
  }

  #ascii(text: string): void {
    const bytes = this.#bytes;
    let at = this.#used;
    for (let index = 0; index < text.length; index++) bytes[at++] = text.charCodeAt(index);
    this.#used = at;
  }

  #number(value: number): void {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    let at = this.#used += digits;
    let rest = value;
    do {
      this.#bytes[--at] = ZERO + rest % 10;
      rest = Math.floor(rest / 10);
    } while (rest > 0);
  }
}
