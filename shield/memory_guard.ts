/**
 * What a process does when its memory grows towards its limit: it asks who is alive, sends away who
 * does not answer, and names those who do not even leave. A state machine without clock, timers and
 * sockets of its own; `memory_watch.ts` runs it.
 *
 * A native socket holds a message that has no end without bound, shows nothing of it and cannot be
 * cut off. But whoever is in the middle of one can send no other: it cannot answer a PING. Behind the
 * silent ones may be a plain client that answers no PING at all, so silence alone only gets one sent
 * away, with 1012, as a restart would. Who is still there after that, while the memory is, is held
 * to be the cause. The time to leave is never cut short: where memory is, the process begins to end
 * before it judges, and judges while it ends.
 */

/** From this part of `[limits] memory_bytes` on, everybody is asked. */
export const ASK_AT = 0.45;
/** From here on, the silent are sent away. */
export const PART_AT = 0.55;
/** Above this, if it still grows, without the whole time to answer. */
const PRESS_AT = 0.65;
/** Above this the process begins to end, also before anybody is judged. */
const LEAVE_AT = 0.7;
/** Above this it begins to end, also when nobody is silent. */
const END_AT = 1;
/** Above this it does not wait for an orderly end. */
export const ABORT_AT = 1.4;
/** How long a client has to answer a PING, and how long where memory is short. */
export const ANSWER_MS = 2_000;
const ANSWER_SHORT_MS = 500;
/** How long a client has to answer a close frame. */
export const LEAVE_MS = 2_000;
/** The end begins no earlier, so that whoever answers at once can free the memory. */
const LEAVE_SHORT_MS = 500;
/** How long an orderly end may take. */
export const END_MS = 6_000;
/** Between two rounds in which nobody was guilty, unless it grows. */
const REST_MS = 5_000;
/** What counts as growing: part of the limit. */
const GROWTH = 0.05;
/** Unfinished messages must hold this part of the limit, or it is not they. */
const HELD = 0.2;
/** What a client that leaves must have held to be guilty: part of the limit. */
const WEIGHT = 0.05;
/** Unfinished bytes of a client that count for nothing, where they are known. */
const SMALL_BYTES = 65_536;
/** The longest that the process stops reading at a time. Policies may take 250 ms. */
export const PAUSE_MS = 200;
/** The same when there is nothing left to wait for: each step of the end takes turns. */
const LAST_PAUSE_MS = 20;

/** One reading of the process's memory. */
export interface Reading {
  /** Unix ms. */
  readonly now_ms: number;
  /** Resident memory. */
  readonly rss_bytes: number;
  /** What the JavaScript heap and its buffers account for. */
  readonly own_bytes: number;
}

/** One socket that is not closed, and what is known of its peer. */
export interface Suspect {
  /** Unix ms of the last complete message, or of its beginning. */
  readonly heard_ms: number;
  /** The connection has ended: its socket waits for the peer's close frame. */
  readonly ended: boolean;
  readonly unfinished_bytes: number | undefined;
  ping(): void;
  /** Sends it elsewhere. */
  sendAway(): void;
  /** Cuts it off; called only where `unfinished_bytes` is known. */
  terminate(): void;
}

/** What the guard wants done. At most one a sample. */
export type Action<S extends Suspect> =
  | { readonly kind: "none" }
  /** Everybody was asked. */
  | { readonly kind: "asked"; readonly clients: number }
  /** Who was silent was sent away. */
  | { readonly kind: "parted"; readonly clients: number }
  /** These were cut off, and are guilty. */
  | { readonly kind: "cut"; readonly guilty: readonly S[] }
  /** The process must end. `judged`: all of the guilty are known; else `judged` follows. */
  | { readonly kind: "end"; readonly judged: boolean; readonly guilty: readonly S[] }
  /** While it ends: these did not leave, and are guilty. */
  | { readonly kind: "judged"; readonly guilty: readonly S[] }
  /** There is much memory in use, but not in unfinished messages. */
  | { readonly kind: "unexplained" }
  /** The process must end without waiting for anything. */
  | { readonly kind: "abort" };

const NONE = { kind: "none" } as const;

type State<S> =
  | { readonly name: "calm"; readonly until_ms: number; readonly below: number }
  | { readonly name: "asking"; readonly since_ms: number; readonly press_at: number }
  | {
    readonly name: "parting";
    readonly since_ms: number;
    readonly parted: ReadonlySet<S>;
  }
  | {
    readonly name: "ending";
    readonly since_ms: number;
    /** When those who were sent away are to be judged; Infinity when they are, or nobody was. */
    readonly judge_ms: number;
    readonly parted: ReadonlySet<S>;
  };

/** One process's guard. Times in Unix ms. */
export class MemoryGuard<S extends Suspect> {
  readonly #limit_bytes: number;
  readonly #suspects: () => Iterable<S>;
  #state: State<S> = { name: "calm", until_ms: 0, below: 0 };
  #last: Reading | undefined;
  /** The least that neither heap nor buffers accounted for: the runtime itself. */
  #floor_bytes = Infinity;

  /** `suspects` are all sockets that are not closed. */
  constructor(limit_bytes: number, suspects: () => Iterable<S>) {
    this.#limit_bytes = limit_bytes;
    this.#suspects = suspects;
  }

  /** True while nothing is wrong: then it is enough to sample rarely. */
  get calm(): boolean {
    return this.#state.name === "calm";
  }

  /** Takes one reading. */
  sample(reading: Reading): Action<S> {
    const { now_ms, rss_bytes, own_bytes } = reading;
    this.#floor_bytes = Math.min(this.#floor_bytes, rss_bytes - own_bytes);
    const used = rss_bytes / this.#limit_bytes;
    const state = this.#state;
    switch (state.name) {
      case "calm":
        if (used >= END_AT) return this.#end(now_ms);
        if (used < ASK_AT || (now_ms < state.until_ms && used < state.below)) return NONE;
        return this.#isHeld(reading, this.#suspects())
          ? this.#ask(now_ms, used)
          : this.#rest(now_ms, REST_MS, used, used >= PART_AT);
      case "asking":
        if (used >= END_AT) return this.#end(now_ms);
        if (used < ASK_AT) return this.#rest(now_ms, 0, used);
        return now_ms - state.since_ms >= (used < state.press_at ? ANSWER_MS : ANSWER_SHORT_MS)
          ? this.#part(reading, used, state.since_ms)
          : NONE;
      case "parting":
        if (now_ms - state.since_ms >= LEAVE_MS) return this.#judge(now_ms, used, state.parted);
        return this.#isPressed(used, now_ms - state.since_ms) && !this.#canCut(state.parted)
          ? this.#end(now_ms, state.since_ms + LEAVE_MS, state.parted)
          : NONE;
      case "ending":
        if (used >= ABORT_AT || now_ms - state.since_ms >= END_MS) return { kind: "abort" };
        if (now_ms < state.judge_ms) return NONE;
        this.#state = { ...state, judge_ms: Infinity };
        return { kind: "judged", guilty: this.#remaining(state.parted) };
    }
  }

  /** Whether a socket that has closed and freed so many bytes belonged to a guilty one. */
  isGuilty(suspect: S, freed_bytes: number): boolean {
    const state = this.#state;
    return (state.name === "parting" || state.name === "ending") && state.parted.has(suspect) &&
      freed_bytes >= this.#limit_bytes * WEIGHT;
  }

  /**
   * How long the process must stop reading for the memory not to be gone before judgement, in ms: it
   * is the only thing that slows a peer down. 0 while it has time.
   */
  pause_ms(reading: Reading): number {
    const last = this.#last;
    this.#last = reading;
    const state = this.#state;
    const { now_ms, rss_bytes } = reading;
    if (state.name === "calm" || last === undefined || rss_bytes <= last.rss_bytes) return 0;
    const [wait_ms, ceiling] = WAITS[state.name];
    const left_ms = Math.max(state.since_ms + wait_ms - now_ms, 1);
    const left_bytes = Math.max(ceiling * this.#limit_bytes - rss_bytes, 1);
    const grown_bytes = rss_bytes - last.rss_bytes;
    const due_ms = grown_bytes * left_ms / left_bytes - (now_ms - last.now_ms);
    const hasJudged = state.name === "ending" && state.judge_ms === Infinity;
    return Math.min(Math.max(due_ms, 0), hasJudged ? LAST_PAUSE_MS : PAUSE_MS);
  }

  #rest(now_ms: number, rest_ms: number, used: number, unexplained = false): Action<S> {
    this.#state = { name: "calm", until_ms: now_ms + rest_ms, below: used + GROWTH };
    return unexplained ? { kind: "unexplained" } : NONE;
  }

  /** Whether unfinished messages can be what takes the memory. */
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
    const silent = this.#unheard(asked_ms);
    const theirs = silent.length > 0 && this.#isHeld(reading, silent);
    if (!theirs || used < PART_AT) {
      // Asked again after a while, for as long as there is so much.
      return this.#rest(now_ms, REST_MS, used, !theirs);
    }
    this.#state = { name: "parting", since_ms: now_ms, parted: new Set(silent) };
    for (const suspect of silent) suspect.sendAway();
    return { kind: "parted", clients: silent.length };
  }

  #judge(now_ms: number, used: number, parted: ReadonlySet<S>): Action<S> {
    const guilty = this.#remaining(parted);
    // Whoever had it has left with it; those who are still here are gone from the network.
    if (used < PART_AT) return this.#rest(now_ms, 0, used);
    if (guilty.length === 0) return this.#rest(now_ms, REST_MS, used, true);
    if (!this.#canCut(parted)) {
      this.#end(now_ms);
      return { kind: "end", judged: true, guilty };
    }
    for (const suspect of guilty) suspect.terminate();
    this.#rest(now_ms, 0, used);
    return { kind: "cut", guilty };
  }

  /** Without anybody to judge, nobody is guilty: the limit may simply be too low. */
  #end(now_ms: number, judge_ms = Infinity, parted: ReadonlySet<S> = new Set()): Action<S> {
    this.#state = { name: "ending", since_ms: now_ms, judge_ms, parted };
    return { kind: "end", judged: judge_ms === Infinity, guilty: [] };
  }

  #remaining(parted: ReadonlySet<S>): S[] {
    const here = new Set(this.#suspects());
    return [...parted].filter((suspect) => here.has(suspect));
  }

  /** Who shows what it holds can be cut off, too. */
  #canCut(parted: ReadonlySet<S>): boolean {
    for (const { unfinished_bytes } of parted) if (unfinished_bytes === undefined) return false;
    return true;
  }

  /** Whether the end must begin before those who were sent away had their time. */
  #isPressed(used: number, waited_ms: number): boolean {
    return used >= END_AT || (used >= LEAVE_AT && waited_ms >= LEAVE_SHORT_MS);
  }

  /** Who has sent no complete message since then. */
  #unheard(since_ms: number): S[] {
    return [...this.#suspects()].filter((suspect) =>
      (suspect.ended || suspect.heard_ms < since_ms) && !isInnocent(suspect)
    );
  }
}

/** What each state waits for, in ms, and the part of the limit that must not be passed meanwhile. */
const WAITS = {
  asking: [ANSWER_MS, PART_AT + 0.05],
  parting: [LEAVE_MS, LEAVE_AT],
  ending: [LEAVE_MS, END_AT],
} as const;

/** Where it is known how much of a message has come, who holds little is no suspect. */
function isInnocent({ unfinished_bytes }: Suspect): boolean {
  return unfinished_bytes !== undefined && unfinished_bytes < SMALL_BYTES;
}
