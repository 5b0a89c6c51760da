/**
 * The locks that this Brain must end on expiry: those of the documents that it has read. A lock is checked whenever it
 * is used; this index makes its expiry, and the leave of its holder, an event at once. A command to the room ends the
 * lock.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { FallCause } from "../commands/command.ts";
import type { LeaseClocks } from "./leases.ts";
import type { Lock } from "./lock.ts";

/** How long the leave of a connection is remembered, for documents that are read later. */
const DEPARTED_MS = 60_000;
/** The most remembered leaves; the oldest are forgotten first. */
const DEPARTED_MAX = 16_384;

/** A lock to end. */
export interface DueLock {
  readonly at: RoomAddress;
  readonly cause: FallCause;
  readonly connection_id: string;
}

interface Held {
  readonly at: RoomAddress;
  readonly lock: Lock;
  /** True if its holder has left. */
  left: boolean;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;

/** The index of locks; one per Brain. */
export class LiveLocks {
  readonly #clocks: LeaseClocks;
  readonly #held = new Map<string, Held>();
  /** Room and connection to the time of the leave, monotonic ms. */
  readonly #departed = new BoundedMap<string, number>(DEPARTED_MAX);
  readonly #rooms_max: number;

  /** `rooms_max` bounds the indexed rooms; other locks expire when they are used. */
  constructor(clocks: LeaseClocks, rooms_max: number) {
    this.#clocks = clocks;
    this.#rooms_max = rooms_max;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Records the lock in a room's document; undefined: none. */
  see(at: RoomAddress, lock: Lock | undefined): void {
    const id = idOf(at);
    const before = this.#held.get(id);
    if (lock === undefined) {
      this.#held.delete(id);
      return;
    }
    if (before === undefined && this.#held.size >= this.#rooms_max) return;
    const same = before?.lock.connection_id === lock.connection_id &&
      before.lock.since_ms === lock.since_ms;
    const left = same ? before.left : this.#hasLeft(id, lock);
    this.#held.set(id, { at, lock, left });
  }

  /** Records that a connection has left a room. True if it holds the room's lock. */
  leave(at: RoomAddress, connection_id: string): boolean {
    const id = idOf(at);
    const now_ms = this.#clocks.monotonic_ms();
    this.#departed.renew(`${id} ${connection_id}`, now_ms);
    for (const [oldest, left_ms] of this.#departed) {
      if (now_ms - left_ms < DEPARTED_MS) break;
      this.#departed.delete(oldest);
    }
    const held = this.#held.get(id);
    if (held?.lock.connection_id !== connection_id) return false;
    held.left = true;
    return true;
  }

  /**
   * The locks that have expired or whose holder has left. They stay until `see` reports another state. `current`
   * adjusts a lock to the present wall clock.
   */
  *due(
    current: (at: RoomAddress, lock: Lock) => Lock = (_at, lock) => lock,
  ): Iterable<DueLock> {
    const now_ms = this.#clocks.now();
    for (const { at, lock, left } of this.#held.values()) {
      const { connection_id } = lock;
      if (now_ms >= current(at, lock).until_ms) yield { at, cause: "expired", connection_id };
      else if (left) yield { at, cause: "holder-left", connection_id };
    }
  }

  /**
   * Whether the holder left after the lock was granted. Compares the ages of both, because the wall clock may have been
   * set in between.
   */
  #hasLeft(id: string, { connection_id, since_ms }: Lock): boolean {
    const { now, monotonic_ms } = this.#clocks;
    const left_ms = this.#departed.get(`${id} ${connection_id}`) ?? -Infinity;
    return Math.floor(monotonic_ms() - left_ms) <= now() - since_ms;
  }
}
