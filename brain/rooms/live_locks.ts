/**
 * The locks that this Brain must end when their time comes: those of the documents it has seen.
 * Expiry is checked on use anyway; this makes it, and the leave of a holder, an event at once. Only
 * the index; ending a lock is a command to its room.
 */
import type { FallCause, RoomAddress } from "./command.ts";
import type { Lock } from "./lock.ts";

/** How long a holder that left is remembered for a document that is seen only then. */
const DEPARTED_MS = 60_000;
/** Leaves that are remembered; the oldest go first. */
const DEPARTED_MAX = 16_384;

/** A lock that is due. */
export interface DueLock {
  readonly at: RoomAddress;
  readonly cause: FallCause;
  readonly connection_id: string;
}

interface Held {
  readonly at: RoomAddress;
  readonly lock: Lock;
  /** Its holder has left. */
  left: boolean;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;

/** One per Brain. Times are the caller's clock, Unix ms. */
export class LiveLocks {
  readonly #held = new Map<string, Held>();
  /** Room and connection to the time of the leave; a Map keeps insertion order, the oldest first. */
  readonly #departed = new Map<string, number>();
  readonly #rooms_max: number;

  /** Of more rooms than `rooms_max` locks are not followed: they end on use. */
  constructor(rooms_max: number) {
    this.#rooms_max = rooms_max;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Takes note of a room's lock as its document has it; also that there is none. */
  see(at: RoomAddress, lock: Lock | undefined): void {
    const id = idOf(at);
    const before = this.#held.get(id);
    if (lock === undefined) {
      this.#held.delete(id);
      return;
    }
    if (before === undefined && this.#held.size >= this.#rooms_max) return;
    const departed_ms = this.#departed.get(`${id} ${lock.connection_id}`) ?? -Infinity;
    const same = before?.left === true && before.lock.connection_id === lock.connection_id;
    const left = departed_ms >= lock.since_ms || (same && before.lock.since_ms === lock.since_ms);
    this.#held.set(id, { at, lock, left });
  }

  /** A connection has left a room, as its Shield reported. True when it holds the room's lock. */
  leave(at: RoomAddress, connection_id: string, now_ms: number): boolean {
    const id = idOf(at);
    const key = `${id} ${connection_id}`;
    this.#departed.delete(key);
    this.#departed.set(key, now_ms);
    for (const [oldest, left_ms] of this.#departed) {
      if (this.#departed.size <= DEPARTED_MAX && now_ms - left_ms < DEPARTED_MS) break;
      this.#departed.delete(oldest);
    }
    const held = this.#held.get(id);
    if (held?.lock.connection_id !== connection_id) return false;
    held.left = true;
    return true;
  }

  /** Those whose lease is over or whose holder has left. They stay until `see` says otherwise. */
  *due(now_ms: number): Iterable<DueLock> {
    for (const { at, lock, left } of this.#held.values()) {
      const { connection_id } = lock;
      if (now_ms >= lock.until_ms) yield { at, cause: "expired", connection_id };
      else if (left) yield { at, cause: "holder-left", connection_id };
    }
  }
}
