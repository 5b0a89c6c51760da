/**
 * Clients that are closed because memory runs short, and how it becomes certain that one of them
 * does not leave. It has no clock and no sockets of its own; what follows is decided in
 * `memory_guard.ts`.
 *
 * The runtime serves some hundred sockets at a time, and a client that floods it is always served
 * first. While others flood, a close frame may not be written, and an answer that has come may not be
 * read. That is why few clients are notified at a time, why the time to leave begins when all are notified, and
 * why it ends only when the runtime has looked at the sockets so often that it must have served every
 * client.
 */

/**
 * Clients that are notified at a time: so many close frames are written at once, whatever else is going on.
 */
export const TOLD_AT_A_TIME = 96;
/** The least looks after the time to leave in which nobody left. */
export const LAST_LOOKS = 3;
/**
 * The most looks that leaving takes. A client that the runtime has not served in so many looks is held
 * up by more flooding peers than can be told apart.
 */
export const LOOKS_MAX = 64;

/** A client that is to leave. */
export interface Leaver {
  /** True when the client's socket is closed. */
  readonly closed: boolean;
  /** Bytes of a message that has begun to come; undefined where the runtime does not tell. */
  readonly unfinished_bytes: number | undefined;
  /** Tells the client to go elsewhere. */
  sendAway(): void;
}

/** How long clients have to leave after they were notified. */
export interface LeavingTimes {
  /** The least time to leave, in ms. */
  readonly leave_ms: number;
  /** The time in ms after which all but a few answers have come; only looks after it count. */
  readonly answer_ms: number;
}

/** The clients that are closed in one round. Times are in Unix ms. */
export class Leaving<S extends Leaver> {
  readonly #all: readonly S[];
  readonly #times: LeavingTimes;
  #told = 0;
  #told_ms = Infinity;
  #here = Infinity;
  /** Looks in a row in which nobody left, and how many of them were after the time to leave. */
  #quiet = 0;
  #quiet_late = 0;

  constructor(all: Iterable<S>, times: LeavingTimes) {
    this.#all = [...all];
    this.#times = times;
  }

  get size(): number {
    return this.#all.length;
  }

  /** The end of the time to leave; Infinity until every client has been notified. */
  get over_ms(): number {
    return this.#told_ms + this.#times.leave_ms;
  }

  /** Whether it is known of every client what it holds. Only then can clients be cut off. */
  get can_cut(): boolean {
    return this.#all.every(({ unfinished_bytes }) => unfinished_bytes !== undefined);
  }

  /** Tells the next group of clients to leave, while there are any. */
  tell(now_ms: number): void {
    if (this.#told_ms < Infinity) return;
    const next = this.#all.slice(this.#told, this.#told + TOLD_AT_A_TIME);
    for (const one of next) one.sendAway();
    this.#told += next.length;
    if (this.#told >= this.size) this.#told_ms = now_ms;
  }

  /**
   * Says after a look at the sockets whether whoever is still here will not leave. Each look may have
   * served one client that floods, so there must be one look more than clients left.
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
