/**
 * Clients that are sent away because memory runs short, and when it is known that one of them does
 * not leave. No clock and no sockets of its own; what follows from it is `memory_guard.ts`.
 *
 * The runtime serves some hundred sockets at a time, and a client that floods it is always served
 * first. While others flood, a close frame may not be written, and an answer that has come may not
 * be read. That is why few clients are told at a time, why the time to leave begins when all are
 * told, and why it ends only when the runtime has looked at the sockets so often that it must have
 * served every client.
 */

/** Told at a time: so many close frames are written at once, whoever else is served. */
export const TOLD_AT_A_TIME = 96;
/** Looks at least after the time is over in which nobody left. */
export const LAST_LOOKS = 3;
/**
 * The most looks that leaving takes: a client that the runtime has not served in so many looks is
 * held up by more peers that flood than can be told apart.
 */
export const LOOKS_MAX = 64;

/** One who is to leave. */
export interface Leaver {
  /** True when its socket is closed. */
  readonly closed: boolean;
  /** Bytes of a message that has begun to come; undefined where that cannot be told. */
  readonly unfinished_bytes: number | undefined;
  /** Sends it elsewhere. */
  sendAway(): void;
}

/** How long those who are told have to leave. */
export interface LeavingTimes {
  /** The least time to leave, in ms. */
  readonly leave_ms: number;
  /** After so long the answers are there, but of few: what is looked at then counts. */
  readonly answer_ms: number;
}

/** The clients that are sent away in one round. Times in Unix ms. */
export class Leaving<S extends Leaver> {
  readonly #all: readonly S[];
  readonly #times: LeavingTimes;
  #told = 0;
  #told_ms = Infinity;
  #here = Infinity;
  /** Looks in a row in which nobody left, and those of them after the time was over. */
  #quiet = 0;
  #quiet_late = 0;

  constructor(all: Iterable<S>, times: LeavingTimes) {
    this.#all = [...all];
    this.#times = times;
  }

  get size(): number {
    return this.#all.length;
  }

  /** When the time of the last one is over; Infinity while not all are told. */
  get over_ms(): number {
    return this.#told_ms + this.#times.leave_ms;
  }

  /** Whether every client shows what it holds, so that it can be cut off, too. */
  get can_cut(): boolean {
    return this.#all.every(({ unfinished_bytes }) => unfinished_bytes !== undefined);
  }

  /** Tells the next ones, while there are any. */
  tell(now_ms: number): void {
    if (this.#told_ms < Infinity) return;
    const next = this.#all.slice(this.#told, this.#told + TOLD_AT_A_TIME);
    for (const one of next) one.sendAway();
    this.#told += next.length;
    if (this.#told >= this.size) this.#told_ms = now_ms;
  }

  /**
   * After each look at the sockets: true when whoever is still here does not leave. One look may go
   * to one that floods; so there must be one more than there are left.
   */
  isOver(now_ms: number): boolean {
    const here = this.remaining().length;
    const is_late = now_ms >= this.over_ms;
    const is_quiet = here === this.#here && now_ms >= this.#told_ms + this.#times.answer_ms;
    this.#quiet = is_quiet ? this.#quiet + 1 : 0;
    this.#quiet_late = is_quiet && is_late ? this.#quiet_late + 1 : 0;
    this.#here = here;
    const enough = Math.max(LAST_LOOKS, Math.min(here + 1, LOOKS_MAX));
    return is_late && (here === 0 || (this.#quiet >= enough && this.#quiet_late >= LAST_LOOKS));
  }

  has(one: S): boolean {
    return this.#all.includes(one);
  }

  remaining(): S[] {
    return this.#all.filter(({ closed }) => !closed);
  }
}
