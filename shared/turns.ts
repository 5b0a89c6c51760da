/**
 * Turns of the event loop, shared fairly by the connections that have more to say than fits into one.
 * Knows no sockets: what a connection does in its turn is its own.
 */

/** A connection gives way after so many frames of one turn. */
export const TURN_FRAMES = 128;
/** The same in bytes. */
export const TURN_BYTES = 65_536;
/** Before the first turn. */
export const NO_TURN = -1;
/** So many go on in one turn: the next ones after everybody else had theirs. */
const RESUMED_MAX = 8;

/** All connections of one process. */
export class Turns {
  /** What waits of all of them, where it waits here and not at its sender. */
  held_bytes = 0;
  #current = 0;
  #is_asked = false;
  /** Who has given way, the first first; those before `#next` have gone on. */
  #waiting: (() => void)[] = [];
  #next = 0;
  readonly #onTurn = () => this.#turn();

  /** The number of the present turn; another one in the next. */
  enter(): number {
    this.#ask();
    return this.#current;
  }

  /** Calls `resume` once, in a later turn, after those who have waited longer. It must not throw. */
  wait(resume: () => void): void {
    this.#waiting.push(resume);
    this.#ask();
  }

  /** For who does one thing a turn: waits while `turn` is the present one. Gives the present one. */
  async next(turn: number): Promise<number> {
    if (this.enter() === turn) await new Promise<void>((resolve) => this.wait(resolve));
    return this.enter();
  }

  #ask(): void {
    if (this.#is_asked) return;
    this.#is_asked = true;
    setImmediate(this.#onTurn);
  }

  #turn(): void {
    this.#is_asked = false;
    this.#current++;
    const end = Math.min(this.#next + RESUMED_MAX, this.#waiting.length);
    while (this.#next < end) this.#waiting[this.#next++]?.();
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    } else {
      // Whoever went on is garbage, also while somebody always waits.
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
      this.#ask();
    }
  }
}
