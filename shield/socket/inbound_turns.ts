/**
 * Messages of a connection that somebody else reads. As many as fit are handed out as they come; the
 * others wait for later turns, in their order.
 */
import { NO_TURN, TURN_BYTES, TURN_FRAMES } from "../../shared/turns/turns.ts";
import type { Turns } from "../../shared/turns/turns.ts";

/** One message, as the runtime hands it over. */
export type Inbound = string | ArrayBuffer;

/** The socket whose messages these are. */
export interface InboundOwner {
  /** Handles one message. Must not throw. */
  deliver(message: Inbound): void;
}

/** The bytes that a waiting message takes besides its own. */
const OVERHEAD_BYTES = 256;

const bytesOf = (message: Inbound) =>
  typeof message === "string" ? 2 * message.length : message.byteLength;

/** The messages of one connection. */
export class InboundTurns {
  readonly #turns: Turns;
  readonly #owner: InboundOwner;
  #waiting: Inbound[] = [];
  #next = 0;
  #held_bytes = 0;
  #turn = NO_TURN;
  #frames = 0;
  #bytes = 0;
  /** True while something waits for a later turn. */
  #waits = false;
  /**
   * True when the connection goes on in a later turn; it must do so only once, or it has two shares of
   * it.
   */
  #awaits_turn = false;
  #onEmpty: (() => void) | undefined;
  readonly #resume = () => this.#goOn();

  constructor(turns: Turns, owner: InboundOwner) {
    this.#turns = turns;
    this.#owner = owner;
  }

  /** How many messages wait. */
  get length(): number {
    return this.#waiting.length - this.#next;
  }

  /** The bytes of what is queued, with its bookkeeping. */
  get held_bytes(): number {
    return this.#held_bytes;
  }

  take(message: Inbound): void {
    if (this.#waits) return this.#keep(message);
    const turn = this.#turns.enter();
    if (turn !== this.#turn) this.#begin(turn);
    else if (this.#isOver()) {
      this.#keep(message);
      return this.#giveWay();
    }
    this.#deliver(message);
  }

  /** Drops the messages that wait. */
  clear(): void {
    this.#waiting = [];
    this.#next = 0;
    this.#count(-this.#held_bytes);
    this.#waits = false;
    const onEmpty = this.#onEmpty;
    this.#onEmpty = undefined;
    onEmpty?.();
  }

  /**
   * Calls `then` when everything that came has been handed out or dropped; at once if it already has.
   */
  finish(then: () => void): void {
    if (this.#held_bytes === 0) return then();
    this.#onEmpty = then;
  }

  /** Goes on in a later turn. */
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
