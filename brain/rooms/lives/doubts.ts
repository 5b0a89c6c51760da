/**
 * Rooms that this Brain has to look at again, because it does not know whether a write was stored
 * or a change was heard. Bounded: beyond the bound, the room that has waited longest is left to the
 * next sweep. What a look does is in `room_store.ts`.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { RoomAddress } from "../commands/command.ts";

/** What the list of doubtful rooms needs. */
export interface DoubtsOptions {
  /** Rooms that may wait. */
  readonly rooms_max: number;
  /** Milliseconds that only grow. */
  readonly monotonic: () => number;
  /** Reads the room; rejects when it cannot. */
  readonly look: (at: RoomAddress) => Promise<void>;
  /** Whether commands are at work in the room, which is then looked at later. */
  readonly isBusy: (at: RoomAddress) => boolean;
}

/** The shortest and the longest time between two looks at a room; each doubles the one before. */
const LOOK_MIN_MS = 250;
const LOOK_MAX_MS = 5_000;
/**
 * How long a write that got no answer may still take place: its server may stall meanwhile.
 */
const WATCH_MS = 60_000;
const TICK_MS = 100;
/** Looks that are under way at the same time. */
const CONCURRENCY = 8;

interface Doubt {
  readonly at: RoomAddress;
  /** The room stays in the list until then, also when a look has found nothing. */
  watch_until_ms: number;
  due_ms: number;
  wait_ms: number;
  looking: boolean;
}

/** The rooms in doubt; one per Brain. */
export class Doubts {
  readonly #options: DoubtsOptions;
  readonly #doubts: BoundedMap<string, Doubt>;
  readonly #looks = new Set<Promise<void>>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #stopped = false;

  constructor(options: DoubtsOptions) {
    this.#options = options;
    this.#doubts = new BoundedMap(options.rooms_max);
  }

  get size(): number {
    return this.#doubts.size;
  }

  /** Looks at the room soon, until one look succeeds. */
  add(at: RoomAddress): void {
    this.#put(at, -Infinity);
  }

  /** Looks at the room again and again for a minute, and after that until one look succeeds. */
  watch(at: RoomAddress): void {
    this.#put(at, this.#options.monotonic() + WATCH_MS);
  }

  /** Stops looking; resolves when no look is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#doubts.clear();
    await Promise.all(this.#looks);
  }

  #put(at: RoomAddress, watch_until_ms: number): void {
    if (this.#stopped) return;
    const id = `${at.tenant_id}.${at.room_id}`;
    const known = this.#doubts.get(id);
    const due_ms = this.#options.monotonic() + LOOK_MIN_MS;
    if (known !== undefined) {
      known.watch_until_ms = Math.max(known.watch_until_ms, watch_until_ms);
      Object.assign(known, { due_ms, wait_ms: LOOK_MIN_MS });
      return;
    }
    this.#doubts.set(id, { at, watch_until_ms, due_ms, wait_ms: LOOK_MIN_MS, looking: false });
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const now_ms = this.#options.monotonic();
    for (const [id, doubt] of this.#doubts) {
      if (this.#looks.size >= CONCURRENCY) return;
      if (doubt.looking || doubt.due_ms > now_ms) continue;
      const look = this.#look(id, doubt);
      this.#looks.add(look);
      look.finally(() => this.#looks.delete(look));
    }
    if (this.#doubts.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(id: string, doubt: Doubt): Promise<void> {
    const { look, isBusy, monotonic } = this.#options;
    doubt.looking = true;
    const asked_ms = doubt.due_ms;
    let done = false;
    try {
      if (!isBusy(doubt.at)) {
        await look(doubt.at);
        done = true;
      }
    } catch {
      // Whoever needs the room is notified; here it is looked at again.
    }
    doubt.looking = false;
    // Put anew meanwhile: what was read may be older than that.
    if (doubt.due_ms !== asked_ms) return;
    if (done && doubt.watch_until_ms <= monotonic()) {
      if (this.#doubts.get(id) === doubt) this.#doubts.delete(id);
      return;
    }
    doubt.wait_ms = Math.min(LOOK_MAX_MS, doubt.wait_ms * 2);
    doubt.due_ms = monotonic() + doubt.wait_ms;
  }
}
