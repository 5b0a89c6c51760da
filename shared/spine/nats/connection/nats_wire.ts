/**
 * A short way beside nats.js for the many messages: they go out into the socket's buffer and come
 * in from its bytes, on the connection that nats.js keeps. Connecting, subscribing, reconnecting
 * and all else stay with nats.js; the order on the wire is that of the calls.
 */
import { ArqonError } from "@arqon/proto";
import type {
  NatsConnection,
  Subscription as NatsSubscription,
  SubscriptionOptions,
} from "@nats-io/transport-deno";
import type { Logger } from "../../../logs/log.ts";
import { FrameScanner } from "./nats_frames.ts";
import type { MessageFrame } from "./nats_frames.ts";
import { OutBuffer } from "./nats_out.ts";
import type { Outgoing } from "./nats_out.ts";

/** Who takes the messages of one subscription. */
export interface FrameTaker {
  readonly pattern: string;
  /** Takes a message; the frame is good until it returns. May throw. */
  take(frame: MessageFrame): void;
  /** The server does not permit the subscription. */
  refused(error: Error): void;
}

/** What a socket is to the wire: `send` may keep the bytes. */
export interface Carrier {
  readonly isClosed: boolean;
  send(bytes: Uint8Array): void;
}

/** A subscription's end. */
export interface WireSubscription {
  unsubscribe(): void;
  /** Resolves when the server has said that this was all. */
  drain(): Promise<void>;
}

/** What nats.js waits for in a subscription that is an iterator: here, over from the beginning. */
const IDLE_PROMISES = ["signal", "iterClosed", "closed"];
const OVER = Object.assign(Promise.resolve(), { resolve() {}, reject() {} });

/**
 * nats.js makes three promises for each subscription (3.4.0), of which one with a callback needs none, and which
 * are two thirds of its memory. They become one for all.
 */
function shareIdlePromises(subscription: NatsSubscription): void {
  for (const name of IDLE_PROMISES) {
    if (Reflect.get(subscription, name) instanceof Promise) Reflect.set(subscription, name, OVER);
  }
}

/** A subscription at the wire and at nats.js. */
class HeldSubscription implements WireSubscription {
  readonly #takers: Map<number, FrameTaker>;
  readonly #connection: NatsConnection;
  readonly #subscription: NatsSubscription;

  constructor(
    takers: Map<number, FrameTaker>,
    connection: NatsConnection,
    subscription: NatsSubscription,
  ) {
    this.#takers = takers;
    this.#connection = connection;
    this.#subscription = subscription;
  }

  unsubscribe(): void {
    this.#takers.delete(this.#subscription.getID());
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
  }

  drain(): Promise<void> {
    return this.#subscription.drain();
  }
}

interface Line {
  readonly carrier: Carrier;
  readonly out: OutBuffer;
}

/** The short way of one connection, through all its reconnects. */
export class Wire {
  readonly #log: Logger;
  /** The takers by the number of their subscription. */
  readonly #takers = new Map<number, FrameTaker>();
  #connection: NatsConnection | undefined;
  /** The socket that was made last, and the same once nats.js has greeted the server on it. */
  #latest: Line | undefined;
  #line: Line | undefined;
  /** nats.js keeps commands until the end of the turn: they must go out before what comes later. */
  #is_behind = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether the socket that was made last is open. */
  get is_open(): boolean {
    return this.#latest !== undefined && !this.#latest.carrier.isClosed;
  }

  /** A socket of this connection is open. What it reads goes through the scanner, and then to nats.js. */
  open(carrier: Carrier): { readonly scanner: FrameScanner; readonly out: OutBuffer } {
    const out = new OutBuffer((bytes) => carrier.send(bytes));
    this.#latest = { carrier, out };
    return { scanner: new FrameScanner((frame) => this.#take(frame)), out };
  }

  /** nats.js has handed over what it kept. */
  caughtUp(): void {
    this.#is_behind = false;
  }

  /** nats.js is connected. */
  ready(connection: NatsConnection): void {
    this.#connection = connection;
    this.#line = this.#latest;
  }

  lost(): void {
    this.#line = undefined;
  }

  /** Something is given to nats.js that must go out before what is published after it. */
  behind(): void {
    this.#is_behind = true;
  }

  /** At the end of this turn nats.js will send something: what is published goes with it. */
  hold(): void {
    this.#line?.out.hold();
  }

  /** What was published is handed to the socket now. */
  flush(): void {
    this.#line?.out.flush();
  }

  /** Hands a message to the socket at the end of the turn. Throws `spine-unavailable`. */
  publish(outgoing: Outgoing): void {
    if (this.#line === undefined || this.#line.carrier.isClosed) {
      throw new ArqonError("spine-unavailable", "the connection to NATS is being lost");
    }
    // It writes all that it kept, and its answer is nobody's.
    if (this.#is_behind) this.#connection?.flush().catch(() => {});
    this.#line.out.publish(outgoing);
  }

  /** Hands the messages of the taker's pattern to it. */
  subscribe(
    taker: FrameTaker,
    options: Pick<SubscriptionOptions, "queue"> = {},
  ): WireSubscription {
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
    return new HeldSubscription(this.#takers, connection, subscription);
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
