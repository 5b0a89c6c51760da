/**
 * Shares the turns of the event loop fairly among connections that have more to do than fits into
 * one. Knows no sockets: what a connection does in its turn is its own.
 */
import { nextTurn } from "./next_turn.ts";

/** A connection gives way after so many frames in one turn. */
export const TURN_FRAMES = 128;
/** The same for one that was sent to rest and still has more to say: others go before it. */
export const SMALL_TURN_FRAMES = 32;
/** A connection gives way after so many bytes in one turn. */
export const TURN_BYTES = 65_536;
/**
 * What a connection has used of its share is forgotten after so many ms: one that says little at a time
 * has had many turns since, and need not give way.
 */
export const SHARE_MS = 10;
/** The number of a turn before the first. */
export const NO_TURN = -1;
/**
 * How many connections go on in one turn, unless it is said otherwise; the next ones go on after
 * everybody else had a turn.
 */
const RESUMED_MAX = 8;

/**
 * A queue of those that have given way: the connections of one process, or one kind of work of
 * many.
 */
export class Turns {
  /** Bytes of all of them that wait here, and not at their senders. */
  held_bytes = 0;
  #current = 0;
  #is_asked = false;
  /** Those that have given way, in the order in which they did. */
  #waiting: (() => void)[] = [];
  readonly #resumed_max: number;
  /** True when somebody is to go on in the next turn. */
  #is_called = false;
  readonly #onTurn = () => {
    this.#is_asked = false;
    this.#current++;
  };
  readonly #onCalled = () => this.#callNext();

  /** `resumed_max`: how many go on in one turn. */
  constructor(resumed_max = RESUMED_MAX) {
    this.#resumed_max = resumed_max;
  }

  /** The number of the present turn; in the next turn it is another. */
  enter(): number {
    this.#ask();
    return this.#current;
  }

  /**
   * Calls `resume` once, in a later turn, after those that have waited longer. `resume` must not
   * throw.
   */
  wait(resume: () => void): void {
    this.#waiting.push(resume);
    this.#call();
  }

  /** As `wait`, with a promise: resolves in a later turn, after those that have waited longer. */
  later(): Promise<void> {
    return new Promise((resolve) => this.wait(resolve));
  }

  /**
   * Waits while `turn` is the present one; gives the number of the present turn. For a connection
   * that does one thing a turn.
   */
  async next(turn: number): Promise<number> {
    if (this.enter() === turn) await this.later();
    return this.enter();
  }

  #ask(): void {
    if (this.#is_asked) return;
    this.#is_asked = true;
    setImmediate(this.#onTurn);
  }

  #call(): void {
    if (this.#is_called) return;
    this.#is_called = true;
    nextTurn(this.#onCalled);
  }

  #callNext(): void {
    this.#is_called = false;
    this.#current++;
    const resumed = this.#waiting.splice(0, this.#resumed_max);
    if (this.#waiting.length > 0) this.#call();
    for (const resume of resumed) resume();
  }
}
