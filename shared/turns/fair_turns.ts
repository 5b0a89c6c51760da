/**
 * Shares the turns of the event loop fairly among connections with more work than fits into one turn. Knows no sockets:
 * connections do their own work.
 */
import { nextTurn } from "./next_turn.ts";

/** A connection yields after this many frames in one turn. */
export const TURN_FRAMES = 128;
/** The same for a rested connection that has more frames: others go first. */
export const SMALL_TURN_FRAMES = 32;
/** A connection yields after this many bytes in one turn. */
export const TURN_BYTES = 65_536;
/**
 * A connection's used share is reset after this many ms: one that sends little at a time has had many turns since, and
 * need not yield.
 */
export const SHARE_MS = 10;
/**
 * The clock is read after this many frames of a share: fewer are not worth a turn, and the messages of ten of them
 * leave by one write for each of many receivers.
 */
export const LOOK_FRAMES = 16;
/** A share ends when it has taken more than this many ms. */
const SHARE_BUSY_MS = 0.5;
/** After a frame that took this many ms, the next frames of the share are not handled. */
const LONG_FRAMES = 4;
const LONG_MS = 2;
/**
 * While other connections are active, one that has had a share continues after this many ms instead of in the next
 * turn: a thread that never rests gets no priority from the system's scheduler for another connection's message.
 */
const REST_MS = 1;
/** How long other connections count as active after their last frame, in ms. */
const OTHERS_MS = 100;
/** The number of a turn before the first. */
export const NO_TURN = -1;
/** Default of how many connections resume in one turn; the next ones resume after all others had a turn. */
const RESUMED_MAX = 8;
/** No connection resumes in a turn that has taken this many ms: eight large messages take a third of a second. */
const RESUMED_MS = 2;
/**
 * A share of this many bytes waits for a later turn this many ms after the first such share of the present one: a
 * connection's first large message may take 40 ms, and a thousand connections may send one at the same time.
 */
const LARGE_BYTES = 1_024;
const TURN_MS = 4;

/** A queue of yielded connections of one process, or of one kind of work of many connections. */
export class Turns {
  /** Bytes of all of them that are buffered here, not at their senders. */
  held_bytes = 0;
  #current = 0;
  #is_asked = false;
  /** Yielded connections, in order. */
  #waiting: (() => void)[] = [];
  readonly #resumed_max: number;
  readonly #now_ms: () => number;
  /** When the present share began, in monotonic ms. */
  #began_ms = NaN;
  /** When the first large share of this turn began; NaN: none yet. */
  #turn_began_ms = NaN;
  /** The owner of that share, and the time of its last change. */
  #speaker: object | undefined;
  #changed_ms = -Infinity;
  /** Connections that rest before they are queued. */
  #resting: (() => void)[] = [];
  /** True if a connection resumes in the next turn. */
  #is_called = false;
  readonly #onTurn = () => {
    this.#is_asked = false;
    this.#turn_began_ms = NaN;
    this.#current++;
  };
  readonly #onCalled = () => {
    this.#current++;
    this.#resume(Math.min(this.#waiting.length, this.#resumed_max), this.#now_ms());
  };
  readonly #onRested = () => {
    this.#waiting.push(...this.#resting);
    this.#resting = [];
    this.#call();
  };

  /** `resumed_max`: how many resume in one turn. `now_ms`: monotonic. */
  constructor(resumed_max = RESUMED_MAX, now_ms: () => number = () => performance.now()) {
    this.#resumed_max = resumed_max;
    this.#now_ms = now_ms;
  }

  /** The number of the present turn; it changes with each turn. */
  enter(): number {
    this.#ask();
    return this.#current;
  }

  /** Records that a share of `speaker` begins, and returns the time. */
  begin(speaker: object): number {
    const now_ms = this.#began_ms = this.#now_ms();
    if (speaker !== this.#speaker) {
      this.#changed_ms = this.#speaker === undefined ? -Infinity : now_ms;
      this.#speaker = speaker;
    }
    return now_ms;
  }

  /**
   * Whether the present share has used up its time after this many frames. A message may cost one microsecond or a
   * thousand, and the first one of a kind costs ten times as much as later ones.
   */
  isLong(frames: number): boolean {
    if (frames === 0 || frames % LONG_FRAMES !== 0) return false;
    const busy_ms = frames % LOOK_FRAMES === 0 ? SHARE_BUSY_MS : LONG_MS;
    return this.#now_ms() - this.#began_ms > busy_ms;
  }

  /** Whether the present share, with this many bytes, is too late in its turn. */
  isLate(size_bytes: number): boolean {
    if (size_bytes < LARGE_BYTES) return false;
    if (Number.isNaN(this.#turn_began_ms)) {
      this.#turn_began_ms = this.#began_ms;
      // Turns with small shares only need no end: an immediate for each cost 6 % of their CPU.
      this.#ask();
    }
    return this.#began_ms - this.#turn_began_ms > TURN_MS;
  }

  /** As `wait`, for a connection that has had a share: while others are active it rests first. */
  giveWay(resume: () => void): void {
    const others_speak = this.#now_ms() - this.#changed_ms < OTHERS_MS;
    if (!others_speak) return this.wait(resume);
    if (this.#resting.push(resume) === 1) setTimeout(this.#onRested, REST_MS);
  }

  /** Calls `resume` once, in a later turn, after connections that have waited longer. `resume` must not throw. */
  wait(resume: () => void): void {
    this.#waiting.push(resume);
    this.#call();
  }

  later(): Promise<void> {
    return new Promise((resolve) => this.wait(resolve));
  }

  /**
   * Waits for the end of `turn`; resolves with the number of the present turn. For connections that do one operation a
   * turn.
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

  /** Resumes up to `left` connections, each after the promises of the previous one. */
  #resume(left: number, began_ms: number): void {
    this.#waiting.shift()?.();
    setImmediate(() => {
      const is_over = left === 1 || this.#now_ms() - began_ms > RESUMED_MS;
      if (!is_over) return this.#resume(left - 1, began_ms);
      this.#is_called = false;
      if (this.#waiting.length > 0) this.#call();
    });
  }
}
