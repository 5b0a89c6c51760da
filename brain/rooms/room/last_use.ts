/**
 * How long each of this Brain's rooms has been idle, by its monotonic clock: wall clocks are set, and those of two
 * Brains differ. Idle time at another Brain does not count: a Brain that starts, or takes a room over, begins at zero.
 * So a room never ends early (`caretaker.ts`).
 */
import type { RoomAddress } from "../../cluster_view.ts";
import { knownIn } from "../locks/leases.ts";

/** The known use of a room. Times are monotonic ms. */
interface Seen {
  readonly at: RoomAddress;
  /** The newest revision of its document. */
  readonly revision: number;
  /** Latest possible time of the last use. */
  used_ms: number;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;

/** The last use by room; one per Brain. At most the stored rooms that this Brain owns. */
export class LastUse {
  readonly #monotonic_ms: () => number;
  readonly #seen = new Map<string, Seen>();

  constructor(monotonic_ms: () => number) {
    this.#monotonic_ms = monotonic_ms;
  }

  get size(): number {
    return this.#seen.size;
  }

  /**
   * Records the revision of a room's document; undefined: none. A new revision means that the room was used until now.
   */
  see(at: RoomAddress, revision: number | undefined): void {
    if (revision === undefined) return void this.#seen.delete(idOf(at));
    if (this.#seen.get(idOf(at))?.revision === revision) return;
    this.#seen.set(idOf(at), { at, revision, used_ms: this.#monotonic_ms() });
  }

  /** Records a use that may write nothing. A room that is not known yet counts from its first `see`. */
  note(at: RoomAddress): void {
    const seen = this.#seen.get(idOf(at));
    if (seen !== undefined) seen.used_ms = this.#monotonic_ms();
  }

  /** Idle time of the room in ms; 0 if unknown. */
  idleMs(at: RoomAddress): number {
    const seen = this.#seen.get(idOf(at));
    return seen === undefined ? 0 : this.#monotonic_ms() - seen.used_ms;
  }

  /** Resets all rooms: other Brains may have served them unseen. */
  clear(): void {
    this.#seen.clear();
  }

  /** Forgets the rooms that `isKept` rejects. */
  keepOnly(isKept: (at: RoomAddress) => boolean): void {
    this.known()(isKept);
  }

  /** As `knownIn`. */
  known(): ReturnType<typeof knownIn> {
    return knownIn(this.#seen);
  }
}
