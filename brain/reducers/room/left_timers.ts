/**
 * Timers that were due when their room was read, so that another Brain may have died of the first one. A Brain that
 * runs it first claims it in the room's record. A second Brain that claims the same timer tries no other one meanwhile.
 * If that one dies, too, the timer is set aside: neither it nor the timers behind it run.
 */
import type { Env } from "../../../shared/env.ts";
import type { TakenTimer } from "../../../shared/records/reducer_record.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import { isTaken, writeTaken } from "./room_writes.ts";
import { isDue, type Taken } from "./next_entries.ts";
import { hasFuel, spendFuel } from "../../../shared/rates/fuel_bucket.ts";
import { createBucket, type TokenBucket } from "../../../shared/rates/token_bucket.ts";

/** How long such a timer keeps the others from being tried, in ms, unless it ends before. */
const TRIAL_MS = 5_000;
/** Interval of the checks whether it has ended, in ms. */
const RETRY_MS = 100;

/** Which room of a Brain tries a timer that another Brain left: one at a time, since it may kill this Brain. */
export class TimerTrials {
  #room: LeftTimers | undefined;
  #since_ms = 0;

  /** False: another room is trying one. `now_ms` is monotonic. */
  begin(room: LeftTimers, now_ms: number): boolean {
    const is_free = this.#room === undefined || this.#room === room ||
      now_ms - this.#since_ms >= TRIAL_MS;
    if (is_free) [this.#room, this.#since_ms] = [room, now_ms];
    return is_free;
  }

  end(room: LeftTimers): void {
    if (this.#room === room) this.#room = undefined;
  }
}

/** What the rooms of a Brain share for this. */
export interface LeftTimersOptions {
  /** The unique id of this run of the Brain. */
  readonly life: string;
  /** How long a timer that was claimed twice is left to its Brain, in ms. */
  readonly left_ms: number;
  readonly trials: TimerTrials;
  /** The pattern of the room's class. */
  readonly classOf: (at: ReducedPlace) => string;
}

/** A timer with a second claim of another Brain. */
interface Seen {
  readonly by: string;
  /** When it is set aside, monotonic ms. */
  readonly until_ms: number;
  is_reported: boolean;
}

interface Shared extends Pick<Env, "monotonic_ms"> {
  readonly parts: RoomParts;
  readonly left: LeftTimersOptions;
}

/** The left timers of one room. */
export class LeftTimers {
  readonly #at: ReducedPlace;
  readonly #shared: Shared;
  /** When the room was read, monotonic ms, and whether its first timer was due then and has not run since. */
  #read_ms = 0;
  #is_first = false;
  #seen: Seen | undefined;
  #must_store = false;
  /** No timer runs before this time, monotonic ms. */
  #held_until_ms = 0;

  constructor(at: ReducedPlace, shared: Shared) {
    this.#at = at;
    this.#shared = shared;
  }

  read({ standing, durable }: LoadedRoom): void {
    this.#read_ms = this.#shared.monotonic_ms();
    this.#is_first = isDue(standing, durable.now());
  }

  /** Whether the room is to be read again: the Brain with the claim may have run the timer. */
  get must_read(): boolean {
    const { by, until_ms, is_reported } = this.#seen ?? {};
    if (by === undefined || is_reported) return false;
    return this.#read_ms < until_ms! && this.#shared.monotonic_ms() >= until_ms!;
  }

  /**
   * Whether a timer was set aside just now. The mark then says that entries may come, though none may come for long.
   */
  takeAside(): boolean {
    const must_store = this.#must_store;
    this.#must_store = false;
    return must_store;
  }

  /** Ms for which no timer runs. */
  get held_ms(): number {
    return Math.max(0, this.#held_until_ms - this.#shared.monotonic_ms());
  }

  /** Whether the first timer runs alone, since a Brain may have died of it. */
  get is_first(): boolean {
    return this.#is_first;
  }

  /** Whether timers may run now. */
  admits(loaded: LoadedRoom, { id }: RunnableProgram): boolean {
    const taken = this.#takenByOther(loaded, id);
    if (!taken?.again) this.#seen = undefined;
    const hold_ms = taken === undefined ? 0 : this.#holdMs(taken);
    this.#held_until_ms = this.#shared.monotonic_ms() + hold_ms;
    return hold_ms === 0;
  }

  /** Runs the next entries; if they begin with the first timer, it is claimed meanwhile. Rejects as `run`. */
  async guard(
    loaded: LoadedRoom,
    { entries: [entry] }: Taken,
    { id }: RunnableProgram,
    run: () => Promise<void>,
  ): Promise<void> {
    const { next } = loaded.standing;
    try {
      if (this.#is_first && entry?.kind === "timer" && next !== undefined) {
        await this.#mark(loaded, { ...next, program: id }, run);
      } else await run();
    } finally {
      this.#shared.left.trials.end(this);
    }
  }

  async #mark(
    loaded: LoadedRoom,
    timer: Pick<TakenTimer, "key" | "at_ms" | "program">,
    run: () => Promise<void>,
  ): Promise<void> {
    const { left: { life } } = this.#shared;
    const again = this.#takenByOther(loaded, timer.program) !== undefined;
    const taken = { ...timer, by: life, again };
    try {
      await writeTaken(loaded, taken);
      await run();
    } finally {
      this.#is_first = isTaken(taken, loaded.standing);
      // This Brain survived, whatever failed.
      if (this.#is_first) await writeTaken(loaded, undefined).catch(() => {});
    }
  }

  /** The claim of another Brain on the next timer, with the same program. */
  #takenByOther(
    { record, standing, durable }: LoadedRoom,
    program: string,
  ): TakenTimer | undefined {
    const { left: { life } } = this.#shared;
    const { taken } = record ?? {};
    if (taken === undefined || taken.by === life || taken.program !== program) return undefined;
    return isTaken(taken, standing) && isDue(standing, durable.now()) ? taken : undefined;
  }

  #holdMs({ by, again }: TakenTimer): number {
    const { left: { left_ms, trials }, monotonic_ms } = this.#shared;
    const now_ms = monotonic_ms();
    if (!again) return trials.begin(this, now_ms) ? 0 : RETRY_MS;
    if (this.#seen?.by !== by) this.#seen = { by, until_ms: now_ms + left_ms, is_reported: false };
    if (now_ms < this.#seen.until_ms) return this.#seen.until_ms - now_ms;
    if (this.must_read) return 1;
    this.#tell(this.#seen);
    return Infinity;
  }

  #tell(seen: Seen): void {
    if (seen.is_reported) return;
    seen.is_reported = this.#must_store = true;
    const { parts: { log, metrics }, left: { classOf } } = this.#shared;
    const { tenant_id, room_id: room } = this.#at;
    metrics.timers_set_aside.inc();
    const about = { tenant_id, room, class: classOf(this.#at) };
    log.error("a room's timer was under way when two processes died: it is set aside", about);
  }
}

// A room may set thousands of timers, each a message of its log. A late timer runs once, however many periods it
// missed: only its own command sets it again.

/**
 * Timers of one room per second: as often as a timer that sets itself may run. After a pause, a burst of twice as many.
 */
export const TIMERS_PER_SECOND = 100;

/** The size of the group for which a delayed room waits: each run is a message of the log. */
export const TIMERS_IN_GROUP = 10;

/** The rate limit of one room. Times are monotonic ms. */
export class TimerPace {
  readonly #bucket: TokenBucket;
  #is_out = false;

  constructor(now_ms: number) {
    this.#bucket = createBucket(TIMERS_PER_SECOND, now_ms);
  }

  /** Ms until some may run; 0: now. */
  wait(now_ms: number): number {
    if (!hasFuel(this.#bucket, now_ms)) this.#is_out = true;
    if (!this.#is_out) return 0;
    const missing = TIMERS_IN_GROUP - this.#bucket.thousandths / 1_000;
    this.#is_out = missing > 0;
    return Math.max(0, Math.ceil(missing / TIMERS_PER_SECOND * 1_000));
  }

  /** How many may run now. */
  most(now_ms: number): number {
    return this.wait(now_ms) > 0 ? 0 : Math.ceil(this.#bucket.thousandths / 1_000);
  }

  take(now_ms: number, count: number): void {
    spendFuel(this.#bucket, count, now_ms);
  }
}
