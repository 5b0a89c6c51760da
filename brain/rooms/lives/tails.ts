/**
 * Publishes the last change of each room again. The next change reveals a lost one; after the last change there is no
 * next one. A Shield that has received it drops the repetition. Bounded: above the bound, the oldest change is
 * forgotten. `announcer.ts` builds envelopes.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { CHANGES_KEPT_MS } from "../../../shared/records/room_update.ts";
import type { Announcer } from "../room/announcer.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { RoomEvent, WriteMark } from "../store/room_event.ts";

/** The dependencies of repeating last changes. */
export interface TailsOptions {
  readonly announcer: Pick<Announcer, "event">;
  /** The most rooms whose last change is remembered; 0 if the engine loses no messages. */
  readonly rooms_max: number;
  /** Monotonic milliseconds. */
  readonly monotonic: () => number;
  /** Whether the Spine is connected; otherwise nothing is repeated. */
  readonly isConnected: () => boolean;
}

/**
 * When a change is repeated, in ms after it was published: a server that stalls for ten seconds has recovered by the
 * third time.
 */
const AGAIN_MS = [2_000, 8_000, 30_000] as const;
const TICK_MS = 500;
/** The most changes repeated in one tick. */
const TICK_ROOMS = 1_000;

interface Tail {
  readonly at: RoomAddress;
  readonly event: RoomEvent;
  readonly mark: WriteMark;
  /** When it should have been received, monotonic ms. */
  readonly sent_ms: number;
  /** How often the timer has repeated it. */
  times: number;
  /** True if a repetition was requested. */
  is_due: boolean;
}

/** How often the timer has repeated a change of that age. */
function timesUntil(age_ms: number): number {
  return AGAIN_MS.filter((due_ms) => due_ms <= age_ms).length;
}

/** The last changes; one per Brain. Runs from its creation until `stop`. */
export class Tails {
  readonly #options: TailsOptions;
  /** By room; the oldest change is first. */
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

  /** Records that the room's newest change was published. `again_ms`: how much earlier it should have been. */
  published(at: RoomAddress, event: RoomEvent, mark: WriteMark, again_ms = 0): void {
    const id = `${at.tenant_id}.${at.room_id}`;
    this.#tails.delete(id);
    if (again_ms > CHANGES_KEPT_MS) return;
    const sent_ms = this.#options.monotonic() - again_ms;
    this.#tails.set(id, { at, event, mark, sent_ms, times: timesUntil(again_ms), is_due: false });
  }

  /** Repeats all last changes: a Shield may have missed some. */
  ask(): void {
    for (const tail of this.#tails.values()) tail.is_due = true;
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
      const age_ms = now_ms - tail.sent_ms;
      const due_ms = AGAIN_MS[tail.times] ?? Infinity;
      if ((tail.is_due || age_ms >= due_ms) && left-- > 0) this.#again(tail, age_ms);
      if (left < 0) return;
      if (age_ms > CHANGES_KEPT_MS) this.#tails.delete(id);
    }
  }

  #again(tail: Tail, age_ms: number): void {
    const { at, event, mark } = tail;
    if (!this.#options.announcer.event(at, event, mark, "", age_ms)) return;
    tail.is_due = false;
    tail.times = timesUntil(age_ms);
  }
}
