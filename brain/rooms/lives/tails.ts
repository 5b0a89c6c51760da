/**
 * Publishes the last change of each room again. A change that is lost on its way shows by the next
 * one; after the last one there is none. A Shield that has heard it drops the repetition. Bounded:
 * beyond the bound, the change that was published first is forgotten. Envelopes are `announcer.ts`.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { CHANGES_KEPT_MS } from "../../../shared/records/room_update.ts";
import type { Announcer } from "../room/announcer.ts";
import type { RoomAddress } from "../commands/command.ts";
import type { RoomEvent, WriteMark } from "../store/room_event.ts";

/** What repeating last changes needs. */
export interface TailsOptions {
  readonly announcer: Pick<Announcer, "event">;
  /** Rooms whose last change is remembered; 0 where nothing is lost on the way. */
  readonly rooms_max: number;
  /** Milliseconds that only grow. */
  readonly monotonic: () => number;
  /** Whether the Spine is connected; while it is not, nothing is tried. */
  readonly isConnected: () => boolean;
}

/**
 * When a change is repeated, in ms after it was published: a server that stalls for ten
 * seconds is back by the third time.
 */
const AGAIN_MS = [2_000, 8_000, 30_000] as const;
const TICK_MS = 500;
/** Changes repeated in one tick, at most. */
const TICK_ROOMS = 1_000;

interface Tail {
  readonly at: RoomAddress;
  readonly event: RoomEvent;
  readonly mark: WriteMark;
  /** When it should have been heard, monotonic ms. */
  readonly said_ms: number;
  /** How often it was repeated on its own. */
  times: number;
  /** True when somebody has asked for it. */
  asked: boolean;
}

/** How often a change of that age has been repeated. */
function timesUntil(age_ms: number): number {
  return AGAIN_MS.filter((due_ms) => due_ms <= age_ms).length;
}

/** The last changes; one per Brain. Works from the moment it is made until `stop`. */
export class Tails {
  readonly #options: TailsOptions;
  /** By room; the change that was published first comes first. */
  readonly #tails: BoundedMap<string, Tail>;
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: TailsOptions) {
    this.#options = options;
    this.#tails = new BoundedMap(options.rooms_max);
    if (options.rooms_max > 0) this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get size(): number {
    return this.#tails.size;
  }

  /**
   * Takes note that the room's newest change was published. `again_ms`: how long before it should
   * have been.
   */
  said(at: RoomAddress, event: RoomEvent, mark: WriteMark, again_ms = 0): void {
    const id = `${at.tenant_id}.${at.room_id}`;
    this.#tails.delete(id);
    if (again_ms > CHANGES_KEPT_MS) return;
    const said_ms = this.#options.monotonic() - again_ms;
    this.#tails.set(id, { at, event, mark, said_ms, times: timesUntil(again_ms), asked: false });
  }

  /** Repeats all last changes: somebody may have missed something. */
  ask(): void {
    for (const tail of this.#tails.values()) tail.asked = true;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#tails.clear();
  }

  #tick(): void {
    const { monotonic, isConnected } = this.#options;
    if (!isConnected()) return;
    const now_ms = monotonic();
    let left = TICK_ROOMS;
    for (const [id, tail] of this.#tails) {
      const age_ms = now_ms - tail.said_ms;
      const due_ms = AGAIN_MS[tail.times] ?? Infinity;
      if ((tail.asked || age_ms >= due_ms) && left-- > 0) this.#again(tail, age_ms);
      if (left < 0) return;
      if (age_ms > CHANGES_KEPT_MS) this.#tails.delete(id);
    }
  }

  #again(tail: Tail, age_ms: number): void {
    const { at, event, mark } = tail;
    if (!this.#options.announcer.event(at, event, mark, "", age_ms)) return;
    tail.asked = false;
    tail.times = timesUntil(age_ms);
  }
}
