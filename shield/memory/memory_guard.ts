/**
 * The reaction of a process to memory that grows towards its limit: it pings clients, closes those that do not answer,
 * and names those that do not leave. A state machine without clock, timers and sockets of its own; `capability.ts`
 * runs it.
 */

/** From this fraction of `[limits] memory_bytes` on, every client is pinged. */
const ASK_AT = 0.45;
/** From this fraction on, clients that do not answer are closed. */
const PART_AT = 0.55;
/** Above this fraction, while memory still grows, clients get a shorter time to answer. */
const PRESS_AT = 0.65;
/** Above this fraction the process begins to end, even before clients are judged. */
const LEAVE_AT = 0.7;
/** Above this fraction the process begins to end, even if no client is silent. */
const END_AT = 1;
/** Above this fraction the end is no longer orderly, once the closed clients are judged. */
export const ABORT_AT = 1.4;
/** Above this fraction the process waits for nothing. */
export const GIVE_UP_AT = 2;
/** The time in which a client must answer a PING, and the shorter one if memory is short. */
export const ANSWER_MS = 2_000;
const ANSWER_SHORT_MS = 500;
/** The time in which a client must answer a close frame. */
export const LEAVE_MS = 2_000;
/** The end begins no earlier than this, in ms, so that a client that leaves at once can free the memory. */
const LEAVE_SHORT_MS = 500;
const TIMES = { leave_ms: LEAVE_MS, answer_ms: LEAVE_SHORT_MS };
/** How long an orderly end may take. */
export const END_MS = 10_000;
/** Pause between two rounds without a guilty client, unless memory grows, in ms. */
const REST_MS = 5_000;
const GROWTH = 0.05;
/** Unfinished messages must hold this fraction of the limit to be the cause. */
const HELD = 0.2;
/** The memory that a guilty client must have freed: a fraction of the limit, and whole messages. */
const WEIGHT = 0.01;
const WEIGHT_MESSAGES = 4;
/** If a client's unfinished bytes are known, fewer than this are ignored. */
const SMALL_BYTES = 65_536;
/** The least polls of the sockets that show whether closed clients leave at once. */
const LOOKS = 2;
/** With fewer polls than this left before the end, the process is out of time. */
const FEW_LOOKS = 8;
/** The longest that the process stops reading at a time while it serves. Policies may take 250 ms. */
export const PAUSE_MS = 200;
/**
 * The pause in ms at the end, when only the judgement is pending. It is short, since each step of the end takes turns
 * of the event loop.
 */
const LAST_PAUSE_MS = 20;

/**
 * The pauses between two readings while memory is stable: the shortest, and the longest, if free memory is far more
 * than what can arrive meanwhile. A reading costs about 0.1 ms of the message thread.
 */
const CALM_MS = 50, CALM_LONG_MS = 250;
/** The bytes per ms from a peer on a fast network. */
const BROUGHT_BYTES = 2_000_000;

/** One reading of the process's memory. */
export interface Reading {
  /** Unix ms. */
  readonly now_ms: number;
  readonly rss_bytes: number;
  /** Memory that the JavaScript heap and its buffers account for. */
  readonly own_bytes: number;
}

/** One open socket, and the facts about its peer. */
export interface Suspect extends Leaver {
  /** Unix ms of the last complete message; 0 if there was none. */
  readonly received_ms: number;
  /** The connection has ended: its socket waits for the peer's close frame. */
  readonly ended: boolean;
  ping(): void;
  /** Cuts the connection off; called only if `unfinished_bytes` is known. */
  terminate(): void;
}

/** The guard's action; at most one for each reading. */
export type Action<S extends Suspect> =
  | { readonly kind: "none" }
  /** Every client was pinged. */
  | { readonly kind: "asked"; readonly clients: number }
  /** Clients that did not answer were closed. */
  | { readonly kind: "parted"; readonly clients: number }
  /** These clients were cut off, and are guilty. */
  | { readonly kind: "cut"; readonly guilty: readonly S[] }
  /** The process must end. With `judged`, all of the guilty are known; otherwise `judged` follows. */
  | { readonly kind: "end"; readonly judged: boolean; readonly guilty: readonly S[] }
  /** While the process ends: these clients did not leave, and are guilty. */
  | { readonly kind: "judged"; readonly guilty: readonly S[] }
  /** Much memory is in use, but not by unfinished messages. */
  | { readonly kind: "unexplained" }
  /** The process must end without waiting for anything. */
  | { readonly kind: "abort" };

const NONE = { kind: "none" } as const;

type State<S extends Suspect> =
  | { readonly name: "calm"; readonly until_ms: number; readonly below: number }
  | { readonly name: "asking"; readonly since_ms: number; readonly press_at: number }
  | { readonly name: "parting"; readonly since_ms: number; readonly leaving: Leaving<S> }
  | {
    readonly name: "ending";
    readonly since_ms: number;
    /** The clients that should leave; undefined once they are judged, or if there are none. */
    readonly leaving: Leaving<S> | undefined;
  };

/** The limits of a process that the guard needs. */
export interface MemoryLimits {
  readonly memory_bytes: number;
  /** The longest message that a client may send, in bytes. */
  readonly max_frame_bytes: number;
}

/** The guard of one process. Times are in Unix ms. */
export class MemoryGuard<S extends Suspect> {
  /** Read at each use, as a reload may change them. */
  readonly #limits: MemoryLimits;
  readonly #suspects: () => Iterable<S>;
  #state: State<S> = { name: "calm", until_ms: 0, below: 0 };
  #last: Reading | undefined;
  /** The lowest memory so far outside heap and buffers: the runtime itself. */
  #floor_bytes = Infinity;

  /** Makes a guard for the open sockets that `suspects` lists. */
  constructor(limits: MemoryLimits, suspects: () => Iterable<S>) {
    this.#limits = limits;
    this.#suspects = suspects;
  }

  get #limit_bytes(): number {
    return this.#limits.memory_bytes;
  }

  /** True while nothing is wrong, so that rare samples are enough. */
  get calm(): boolean {
    return this.#state.name === "calm";
  }

  /**
   * The time in ms without a reading while all is calm: half of the memory below the first level takes at least that
   * long to fill.
   */
  calm_ms({ rss_bytes }: Reading): number {
    const free_bytes = ASK_AT * this.#limit_bytes - rss_bytes;
    return Math.min(CALM_LONG_MS, Math.max(CALM_MS, free_bytes / 2 / BROUGHT_BYTES));
  }

  sample(reading: Reading): Action<S> {
    const { now_ms, rss_bytes, own_bytes } = reading;
    this.#floor_bytes = Math.min(this.#floor_bytes, rss_bytes - own_bytes);
    const used = rss_bytes / this.#limit_bytes;
    const state = this.#state;
    switch (state.name) {
      case "calm":
        if (used >= END_AT) return this.#overrun(reading, this.#last?.now_ms ?? now_ms);
        if (used < ASK_AT || (now_ms < state.until_ms && used < state.below)) return NONE;
        return this.#isHeld(reading, this.#suspects())
          ? this.#ask(now_ms, used)
          : this.#rest(now_ms, REST_MS, used, used >= PART_AT);
      case "asking":
        if (used >= END_AT) return this.#overrun(reading, state.since_ms);
        if (used < ASK_AT) return this.#rest(now_ms, 0, used);
        return now_ms - state.since_ms >= this.#answer_ms(reading, state.press_at)
          ? this.#part(reading, used, state.since_ms)
          : NONE;
      case "parting":
        state.leaving.tell(now_ms);
        if (state.leaving.isOver(now_ms)) return this.#judge(now_ms, used, state.leaving);
        return this.#isPressed(used, now_ms - state.since_ms) && !state.leaving.can_cut
          ? this.#end(now_ms, state.leaving)
          : NONE;
      case "ending":
        return this.#sampleEnding(now_ms, used, state.since_ms, state.leaving);
      default:
        return state satisfies never;
    }
  }

  /** Whether a closed socket that freed that many bytes belonged to a guilty client. */
  isGuilty(suspect: S, freed_bytes: number): boolean {
    const state = this.#state;
    const { memory_bytes, max_frame_bytes } = this.#limits;
    const weight_bytes = Math.max(WEIGHT * memory_bytes, WEIGHT_MESSAGES * max_frame_bytes);
    return (state.name === "parting" || state.name === "ending") &&
      state.leaving?.has(suspect) === true && freed_bytes >= weight_bytes;
  }

  /**
   * How long the process must stop reading, in ms, so that memory lasts until the clients are judged: only this slows a
   * peer down. 0 while there is time.
   */
  pause_ms(reading: Reading): number {
    const last = this.#last;
    this.#last = reading;
    const state = this.#state;
    const { now_ms, rss_bytes } = reading;
    // Frames of this turn are sent in the next one.
    if (state.name === "calm" || last === undefined || state.since_ms === now_ms) return 0;
    const [left_ms, ceiling, longest_ms] = waitOf(state, now_ms, this.#hasTime(reading, last));
    // As above: not every client has been notified.
    if (left_ms === Infinity) return 0;
    return pauseFor({
      grown_bytes: rss_bytes - last.rss_bytes,
      took_ms: now_ms - last.now_ms,
      left_ms,
      left_bytes: ceiling * this.#limit_bytes - rss_bytes,
      longest_ms,
    });
  }

  /** Whether the memory lasts for many more polls if each takes as much as the last one. */
  #hasTime({ rss_bytes }: Reading, last = this.#last): boolean {
    const grown_bytes = rss_bytes - (last?.rss_bytes ?? rss_bytes);
    return rss_bytes + FEW_LOOKS * grown_bytes < END_AT * this.#limit_bytes;
  }

  #answer_ms(reading: Reading, press_at: number): number {
    const is_calm = reading.rss_bytes < press_at * this.#limit_bytes && this.#hasTime(reading);
    return is_calm ? ANSWER_MS : ANSWER_SHORT_MS;
  }

  #rest(now_ms: number, rest_ms: number, used: number, unexplained = false): Action<S> {
    this.#state = { name: "calm", until_ms: now_ms + rest_ms, below: used + GROWTH };
    return unexplained ? { kind: "unexplained" } : NONE;
  }

  /** Whether unfinished messages can be the cause of the memory use. */
  #isHeld({ rss_bytes, own_bytes }: Reading, suspects: Iterable<S>): boolean {
    let held_bytes = rss_bytes - own_bytes - this.#floor_bytes;
    for (const { unfinished_bytes = 0 } of suspects) held_bytes += unfinished_bytes;
    return held_bytes >= HELD * this.#limit_bytes;
  }

  #ask(now_ms: number, used: number): Action<S> {
    const press_at = Math.max(PRESS_AT, used + GROWTH);
    this.#state = { name: "asking", since_ms: now_ms, press_at };
    let clients = 0;
    for (const suspect of this.#suspects()) {
      if (suspect.ended || isInnocent(suspect)) continue;
      suspect.ping();
      clients++;
    }
    return { kind: "asked", clients };
  }

  #part(reading: Reading, used: number, asked_ms: number): Action<S> {
    const { now_ms } = reading;
    const silent = this.#silent(asked_ms);
    const theirs = silent.length > 0 && this.#isHeld(reading, silent);
    if (!theirs || used < PART_AT) {
      // The clients are pinged again after a while, as long as that much memory is in use.
      return this.#rest(now_ms, REST_MS, used, !theirs);
    }
    const leaving = new Leaving(silent, TIMES);
    // The limit would be exceeded before a leaving client is observed.
    if (!leaving.can_cut && used + LOOKS * this.#growth(reading) >= END_AT) {
      return this.#end(now_ms, leaving);
    }
    leaving.tell(now_ms);
    this.#state = { name: "parting", since_ms: now_ms, leaving };
    return { kind: "parted", clients: silent.length };
  }

  #judge(now_ms: number, used: number, leaving: Leaving<S>): Action<S> {
    const guilty = leaving.remaining();
    // The clients with the memory have left; the remaining ones have lost their network.
    if (used < PART_AT) return this.#rest(now_ms, 0, used);
    if (guilty.length === 0) return this.#rest(now_ms, REST_MS, used, true);
    if (!leaving.can_cut) {
      this.#end(now_ms, undefined);
      return { kind: "end", judged: true, guilty };
    }
    for (const suspect of guilty) suspect.terminate();
    this.#rest(now_ms, 0, used);
    return { kind: "cut", guilty };
  }

  /** Ends the process because memory grew too fast to ping clients. Silent clients are judged while it ends. */
  #overrun(reading: Reading, since_ms: number): Action<S> {
    const silent = this.#silent(since_ms);
    const theirs = silent.length > 0 && this.#isHeld(reading, silent);
    return this.#end(reading.now_ms, theirs ? new Leaving(silent, TIMES) : undefined);
  }

  /** Starts to end the process. Without a client to judge, nobody is guilty: the limit may simply be too low. */
  #end(now_ms: number, leaving: Leaving<S> | undefined): Action<S> {
    leaving?.tell(now_ms);
    this.#state = { name: "ending", since_ms: now_ms, leaving };
    return { kind: "end", judged: leaving === undefined, guilty: [] };
  }

  #sampleEnding(
    now_ms: number,
    used: number,
    since_ms: number,
    leaving: Leaving<S> | undefined,
  ): Action<S> {
    const most = leaving === undefined ? ABORT_AT : GIVE_UP_AT;
    if (used >= most || now_ms - since_ms >= END_MS) return { kind: "abort" };
    leaving?.tell(now_ms);
    if (leaving?.isOver(now_ms) !== true) return NONE;
    this.#state = { name: "ending", since_ms, leaving: undefined };
    return { kind: "judged", guilty: used < PART_AT ? [] : leaving.remaining() };
  }

  #growth({ rss_bytes }: Reading): number {
    return (rss_bytes - (this.#last?.rss_bytes ?? rss_bytes)) / this.#limit_bytes;
  }

  /** Whether the end must begin before the closed clients had their full time. */
  #isPressed(used: number, waited_ms: number): boolean {
    return used >= END_AT || (used >= LEAVE_AT && waited_ms >= LEAVE_SHORT_MS);
  }

  /** The sockets without a complete message since that time. */
  #silent(since_ms: number): S[] {
    return [...this.#suspects()].filter((suspect) =>
      (suspect.ended || suspect.received_ms < since_ms) && !isInnocent(suspect)
    );
  }
}

/** The deadline of a state: the remaining time, the fraction of the limit, and the longest pause. */
function waitOf<S extends Suspect>(
  state: Exclude<State<S>, { name: "calm" }>,
  now_ms: number,
  has_time: boolean,
): [left_ms: number, ceiling: number, longest_ms: number] {
  if (state.name === "asking") {
    const [wait_ms, longest_ms] = has_time ? [ANSWER_MS, PAUSE_MS] : [ANSWER_SHORT_MS, Infinity];
    return [state.since_ms + wait_ms - now_ms, PART_AT + GROWTH, longest_ms];
  }
  const { leaving } = state;
  if (leaving === undefined) return [state.since_ms + END_MS - now_ms, END_AT, LAST_PAUSE_MS];
  const left_ms = leaving.over_ms - now_ms;
  if (state.name === "ending") return [left_ms, END_AT, Infinity];
  return has_time || left_ms === Infinity
    ? [left_ms, LEAVE_AT, PAUSE_MS]
    : [state.since_ms + LEAVE_SHORT_MS - now_ms, LEAVE_AT, Infinity];
}

/** Whether a client is known to have too small a partial message to be a suspect. */
function isInnocent({ unfinished_bytes }: Suspect): boolean {
  return unfinished_bytes !== undefined && unfinished_bytes < SMALL_BYTES;
}

/** The inputs of a pause. */
export interface Pace {
  readonly grown_bytes: number;
  /** The time since the last poll, in ms. */
  readonly took_ms: number;
  /** How long the state still waits, in ms. */
  readonly left_ms: number;
  /** The remaining memory until then; below 0 if it is exceeded already. */
  readonly left_bytes: number;
  readonly longest_ms: number;
}

/**
 * The next pause in ms. The runtime reads everything that has arrived: only the number of polls can be controlled, not
 * their size. If every poll reads as much as the last one, the polls that fit into `left_bytes` are spread over
 * `left_ms`; with room for less than one, nothing is read until that time has passed.
 */
export function pauseFor({ grown_bytes, took_ms, left_ms, left_bytes, longest_ms }: Pace): number {
  if (grown_bytes <= 0 || left_ms <= 0) return 0;
  const due_ms = left_bytes <= grown_bytes ? left_ms : left_ms * grown_bytes / left_bytes - took_ms;
  return Math.max(0, Math.min(due_ms, left_ms, longest_ms));
}

// Clients that are closed because memory runs short, and the proof that one of them does not leave. The guard
// decides the consequences. The runtime serves about a hundred sockets at a time, and a flooding client is always
// served first. Meanwhile, a close frame may not be written, and an answer may not be read. That is why few clients are
// notified at a time, why the time to leave begins when all are notified, and why it ends only when the runtime has
// looked at the sockets so often that it must have served every client.

/** The number of clients notified at a time, which limits concurrent close frames. */
export const NOTIFIED_AT_A_TIME = 96;
/** The least polls after the time to leave in which nobody left. */
export const LAST_LOOKS = 3;
/**
 * The most rounds that wait for closes. A client that is still open then is behind more flooding peers than can be
 * distinguished.
 */
export const LOOKS_MAX = 64;

interface Leaver {
  /** True when the client's socket is closed. */
  readonly closed: boolean;
  /** Bytes of a partial message; undefined if the runtime does not report them. */
  readonly unfinished_bytes: number | undefined;
  /** Asks the client to reconnect elsewhere. */
  sendAway(): void;
}

/** The times that clients have to leave after they were notified. */
interface LeavingTimes {
  readonly leave_ms: number;
  /** The time in ms after which all but a few answers have arrived; only polls after it count. */
  readonly answer_ms: number;
}

/** The clients closed in one round. Times are in Unix ms. */
export class Leaving<S extends Leaver> {
  readonly #all: readonly S[];
  readonly #times: LeavingTimes;
  #notified = 0;
  #notified_ms = Infinity;
  #here = Infinity;
  /** Consecutive polls in which nobody left, and how many of them were after the time to leave. */
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
    return this.#notified_ms + this.#times.leave_ms;
  }

  /** Whether every client's partial message is known. Only then can clients be cut off. */
  get can_cut(): boolean {
    return this.#all.every(({ unfinished_bytes }) => unfinished_bytes !== undefined);
  }

  /** Asks the next group of clients to leave, if there is one. */
  tell(now_ms: number): void {
    if (this.#notified_ms < Infinity) return;
    const next = this.#all.slice(this.#notified, this.#notified + NOTIFIED_AT_A_TIME);
    for (const one of next) one.sendAway();
    this.#notified += next.length;
    if (this.#notified >= this.size) this.#notified_ms = now_ms;
  }

  /**
   * Whether, after a poll of the sockets, the remaining clients will not leave. Each poll may have served one flooding
   * client, so one poll more than the remaining clients is needed.
   */
  isOver(now_ms: number): boolean {
    const here = this.remaining().length;
    const is_late = now_ms >= this.over_ms;
    const is_quiet = here === this.#here && now_ms >= this.#notified_ms + this.#times.answer_ms;
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
