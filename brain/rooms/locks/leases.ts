/**
 * When the leases of locks end, by a clock that nobody sets: a document has Unix times, and the
 * wall clock of a Brain may jump. Within one process a lease lasts exactly as long as it was
 * granted for. A lease that another Brain granted begins anew when it is first seen here: that Brain's
 * clock says nothing, and a lock that ends early lets two clients believe that they hold it.
 */
import type { Env } from "../../../shared/env.ts";
import type { RoomAddress } from "../commands/command.ts";
import type { Lock } from "./lock.ts";

/** The difference allowed between a Unix time and a monotonic one, in ms. */
const SLACK_MS = 50;

/** The clocks by which leases are measured. */
export interface LeaseClocks extends Pick<Env, "monotonic_ms"> {
  /** The wall clock, Unix ms; may jump. */
  readonly now: () => number;
}

type Times = Pick<Lock, "since_ms" | "until_ms">;

interface Lease {
  readonly at: RoomAddress;
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

/** The leases of this Brain's rooms; one per Brain. Has at most the stored rooms. */
export class Leases {
  readonly #clocks: LeaseClocks;
  readonly #leases = new Map<string, Lease>();

  constructor(clocks: LeaseClocks) {
    this.#clocks = clocks;
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
    const { since_ms, until_ms } = lock;
    const times = { since_ms, until_ms };
    const lease = this.#of(at, lock) ?? this.#begun(at, lock);
    this.#leases.set(id, { ...lease, stored: times, moved: times });
  }

  /** The lock with its times moved to the present wall clock, so that it ends when it has to. */
  current(at: RoomAddress, lock: Lock): Lock {
    const id = idOf(at);
    const lease = this.#of(at, lock) ?? this.#begun(at, lock);
    // Of a document that was read before, a lock changes nothing of what is known.
    if (!this.#leases.has(id)) this.#leases.set(id, lease);
    const { now, monotonic_ms } = this.#clocks;
    const by_ms = Math.round(now() + lease.ends_ms - monotonic_ms() - lock.until_ms);
    if (Math.abs(by_ms) <= SLACK_MS) return lock;
    lease.moved = { since_ms: lock.since_ms + by_ms, until_ms: lock.until_ms + by_ms };
    return { ...lock, ...lease.moved };
  }

  /** Forgets the leases of rooms that `isKept` does not want. */
  keepOnly(isKept: (at: RoomAddress) => boolean): void {
    for (const [id, { at }] of this.#leases) if (!isKept(at)) this.#leases.delete(id);
  }

  #of(at: RoomAddress, lock: Lock): Lease | undefined {
    const lease = this.#leases.get(idOf(at));
    const is_it = lease !== undefined && lease.fence === lock.fence &&
      (isAt(lease.stored, lock) || isAt(lease.moved, lock));
    return is_it ? lease : undefined;
  }

  /** The lease of a lock that was not seen before. */
  #begun(at: RoomAddress, { fence, since_ms, until_ms }: Lock): Lease {
    const times = { since_ms, until_ms };
    const ends_ms = this.#clocks.monotonic_ms() + until_ms - since_ms;
    return { at, fence, stored: times, moved: times, ends_ms };
  }
}
