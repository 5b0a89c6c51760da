/**
 * When the leases of locks end, by a clock that nobody sets: a document has Unix times, and the
 * wall clock of a Brain may jump. Within one process a lease lasts exactly as long as it was
 * granted for. A lease that another Brain granted lasts here at most as long again, whatever that
 * Brain's clock said.
 */
import type { RoomAddress } from "../commands/command.ts";
import type { Lock } from "./lock.ts";

/** The difference allowed between a Unix time and a monotonic one, in ms. */
const SLACK_MS = 50;

/** The clocks by which leases are measured. */
export interface LeaseClocks {
  /** The wall clock, Unix ms; may jump. */
  readonly now: () => number;
  /** Milliseconds that only grow. */
  readonly monotonic_ms: () => number;
}

type Times = Pick<Lock, "since_ms" | "until_ms">;

interface Lease {
  readonly fence: number;
  /** The times of the lease as the document has them. */
  readonly stored: Times;
  /** The same, last moved to the present wall clock; the next write may store them. */
  moved: Times;
  /** When the lease ends, monotonic ms. */
  readonly ends_ms: number;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;
const isAt = (times: Times, { since_ms, until_ms }: Lock): boolean =>
  times.since_ms === since_ms && times.until_ms === until_ms;

/** The leases of this Brain's rooms; one per Brain. */
export class Leases {
  readonly #clocks: LeaseClocks;
  readonly #rooms_max: number;
  readonly #leases = new Map<string, Lease>();

  /**
   * `rooms_max` bounds the leases that are measured. Beyond it, a lease is only kept from lasting
   * longer than it may from now.
   */
  constructor(clocks: LeaseClocks, rooms_max: number) {
    this.#clocks = clocks;
    this.#rooms_max = rooms_max;
  }

  get size(): number {
    return this.#leases.size;
  }

  /** Takes note of the lock in a room's document, also that there is none. */
  see(at: RoomAddress, lock: Lock | undefined): void {
    const id = idOf(at);
    if (lock === undefined) {
      this.#leases.delete(id);
      return;
    }
    const before = this.#of(at, lock);
    const { fence, since_ms, until_ms } = lock;
    const times = { since_ms, until_ms };
    if (before !== undefined) {
      this.#leases.set(id, { ...before, stored: times, moved: times });
      return;
    }
    if (!this.#leases.has(id) && this.#leases.size >= this.#rooms_max) return;
    const ends_ms = this.#clocks.monotonic_ms() + this.#rest_ms(lock);
    this.#leases.set(id, { fence, stored: times, moved: times, ends_ms });
  }

  /** The lock with its times moved to the present wall clock, so that it ends when it has to. */
  current(at: RoomAddress, lock: Lock): Lock {
    const lease = this.#of(at, lock);
    const { now, monotonic_ms } = this.#clocks;
    const rest_ms = lease === undefined ? this.#rest_ms(lock) : lease.ends_ms - monotonic_ms();
    const by_ms = Math.round(now() + rest_ms - lock.until_ms);
    if (Math.abs(by_ms) <= SLACK_MS) return lock;
    const times = { since_ms: lock.since_ms + by_ms, until_ms: lock.until_ms + by_ms };
    if (lease !== undefined) lease.moved = times;
    return { ...lock, ...times };
  }

  #of(at: RoomAddress, lock: Lock): Lease | undefined {
    const lease = this.#leases.get(idOf(at));
    const is_it = lease !== undefined && lease.fence === lock.fence &&
      (isAt(lease.stored, lock) || isAt(lease.moved, lock));
    return is_it ? lease : undefined;
  }

  /**
   * What is left of a lease that is not measured, in ms: what its times say, but no more than it
   * was granted for.
   */
  #rest_ms({ since_ms, until_ms }: Lock): number {
    return Math.min(until_ms - this.#clocks.now(), until_ms - since_ms);
  }
}
