/**
 * For how long this Brain has seen each of its rooms unused, by its monotonic clock: wall clocks are
 * set, and those of two Brains differ. What another Brain has seen counts for nothing: a Brain that
 * starts, or takes a room over, begins to count anew. So a room never ends early (`sweep.ts`).
 */
import type { RoomAddress } from "../commands/command.ts";

/** What is known of a room. Times are monotonic ms. */
interface Seen {
  readonly at: RoomAddress;
  /** The newest revision of its document. */
  readonly revision: number;
  /** When the room was last used, at the latest. */
  used_ms: number;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;

/** The last use by room; one per Brain. Has at most the stored rooms that this Brain owns. */
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
   * Takes note of the revision of a room's document; undefined: there is none. Another revision than
   * the last one means that the room was used until now.
   */
  see(at: RoomAddress, revision: number | undefined): void {
    if (revision === undefined) return void this.#seen.delete(idOf(at));
    if (this.#seen.get(idOf(at))?.revision === revision) return;
    this.#seen.set(idOf(at), { at, revision, used_ms: this.#monotonic_ms() });
  }

  /** Takes note of a use that may write nothing. A room that was never seen counts from when it is. */
  note(at: RoomAddress): void {
    const seen = this.#seen.get(idOf(at));
    if (seen !== undefined) seen.used_ms = this.#monotonic_ms();
  }

  /** For how long nothing has used the room, in ms; 0 when that is not known. */
  idleMs(at: RoomAddress): number {
    const seen = this.#seen.get(idOf(at));
    return seen === undefined ? 0 : this.#monotonic_ms() - seen.used_ms;
  }

  /** Begins anew for all rooms: others may have used them, and this Brain did not see it. */
  clear(): void {
    this.#seen.clear();
  }

  /** Forgets the rooms that `isKept` does not want. */
  keepOnly(isKept: (at: RoomAddress) => boolean): void {
    for (const [id, { at }] of this.#seen) if (!isKept(at)) this.#seen.delete(id);
  }
}
