/**
 * Rooms in doubt, which this Brain has to read again, because it does not know whether a write was stored or a change
 * was delivered. Bounded: above the bound, the oldest room is left to the next sweep. `room_store.ts` reads the room.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { RoomAddress } from "../../cluster_view.ts";

/** The dependencies of the list. */
export interface DoubtsOptions {
  /** Rooms that may wait. */
  readonly rooms_max: number;
  /** Monotonic milliseconds. */
  readonly monotonic: () => number;
  /** Reads the room; rejects on failure. */
  readonly look: (at: RoomAddress) => Promise<void>;
  /** Whether the room is executing commands; it is then checked later. */
  readonly isBusy: (at: RoomAddress) => boolean;
}

/** The shortest and the longest interval between checks of a room; each doubles the previous one. */
const LOOK_MIN_MS = 250;
const LOOK_MAX_MS = 5_000;
/** How long an unanswered write may still take effect: its server may stall meanwhile. */
const WATCH_MS = 60_000;
const TICK_MS = 100;
/** Concurrent checks. */
const CONCURRENCY = 8;

interface Doubt {
  readonly at: RoomAddress;
  /** The room stays in the list until then, even if a check found nothing. */
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

  /** Checks the room soon, and retries until one check succeeds. */
  add(at: RoomAddress): void {
    this.#put(at, -Infinity);
  }

  /** Checks the room repeatedly for a minute, and then until one check succeeds. */
  watch(at: RoomAddress): void {
    this.#put(at, this.#options.monotonic() + WATCH_MS);
  }

  /** Stops the checks; resolves when none is under way. */
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
      // Callers that need the room get the error; here the check is retried.
    }
    doubt.looking = false;
    // Added again meanwhile: the read may be older than that.
    if (doubt.due_ms !== asked_ms) return;
    if (done && doubt.watch_until_ms <= monotonic()) {
      if (this.#doubts.get(id) === doubt) this.#doubts.delete(id);
      return;
    }
    doubt.wait_ms = Math.min(LOOK_MAX_MS, doubt.wait_ms * 2);
    doubt.due_ms = monotonic() + doubt.wait_ms;
  }
}
