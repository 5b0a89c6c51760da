/**
 * The expiry of leases by the monotonic clock: a document has Unix times, and the wall clock of a Brain may jump.
 * Within one process a lease lasts exactly its granted time. A lease that another Brain granted restarts when it is
 * first seen here: that Brain's clock may differ, and if a lock ended early, two clients would believe that they hold
 * it.
 */
import type { Env } from "../../../shared/env.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { Lock } from "./lock.ts";

/** Tolerated difference between a Unix time and a monotonic one, in ms. */
const SLACK_MS = 50;

/** The clocks for leases. */
export interface LeaseClocks extends Pick<Env, "monotonic_ms"> {
  /** The wall clock, Unix ms; may jump. */
  readonly now: () => number;
}

type Times = Pick<Lock, "since_ms" | "until_ms">;

interface Lease {
  readonly at: RoomAddress;
  readonly fence: number;
  /** The times of the lease in the document. */
  readonly stored: Times;
  /** The same times, adjusted to the wall clock; the next write may store them. */
  moved: Times;
  /** When the lease ends, monotonic ms. */
  readonly ends_ms: number;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;
const isAt = (times: Times, { since_ms, until_ms }: Lock): boolean =>
  times.since_ms === since_ms && times.until_ms === until_ms;

/** The leases of this Brain's rooms; one per Brain. At most one for each stored room. */
export class Leases {
  readonly #clocks: LeaseClocks;
  readonly #leases = new Map<string, Lease>();

  constructor(clocks: LeaseClocks) {
    this.#clocks = clocks;
  }

  get size(): number {
    return this.#leases.size;
  }

  /** Records the lock in a room's document; undefined: none. */
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

  /** The lock with its times adjusted to the present wall clock, so that it expires on time. */
  current(at: RoomAddress, lock: Lock): Lock {
    const id = idOf(at);
    const lease = this.#of(at, lock) ?? this.#begun(at, lock);
    // A lock from an older read of the document does not replace the known lease.
    if (!this.#leases.has(id)) this.#leases.set(id, lease);
    const { now, monotonic_ms } = this.#clocks;
    const by_ms = Math.round(now() + lease.ends_ms - monotonic_ms() - lock.until_ms);
    if (Math.abs(by_ms) <= SLACK_MS) return lock;
    lease.moved = { since_ms: lock.since_ms + by_ms, until_ms: lock.until_ms + by_ms };
    return { ...lock, ...lease.moved };
  }

  /** As `knownIn`. */
  known(): ReturnType<typeof knownIn> {
    return knownIn(this.#leases);
  }

  #of(at: RoomAddress, lock: Lock): Lease | undefined {
    const lease = this.#leases.get(idOf(at));
    const is_it = lease !== undefined && lease.fence === lock.fence &&
      (isAt(lease.stored, lock) || isAt(lease.moved, lock));
    return is_it ? lease : undefined;
  }

  #begun(at: RoomAddress, { fence, since_ms, until_ms }: Lock): Lease {
    const times = { since_ms, until_ms };
    const ends_ms = this.#clocks.monotonic_ms() + until_ms - since_ms;
    return { at, fence, stored: times, moved: times, ends_ms };
  }
}

/**
 * Remembers what the map has. The result deletes from that what `isKept` rejects, but nothing that was set meanwhile:
 * a list of all rooms lacks those that were created while it was made.
 */
export function knownIn<Known extends { readonly at: RoomAddress }>(
  map: Map<string, Known>,
): (isKept: (at: RoomAddress) => boolean) => void {
  const known = [...map];
  return (isKept) => {
    for (const [id, one] of known) if (map.get(id) === one && !isKept(one.at)) map.delete(id);
  };
}
