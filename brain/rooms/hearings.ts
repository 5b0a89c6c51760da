/**
 * What this Brain knows of what rooms have said: whether an earlier owner, or a failed write of its
 * own, may have left events unsaid. Bounded; what is forgotten is said once more, which is harmless.
 */
import type { RoomAddress } from "./command.ts";

/** Of one room. */
export interface Hearing {
  /** The term in which this Brain has said what another one may have left unsaid. */
  term: number | undefined;
  /** A write or a publication of this Brain has failed: what it did may be stored and unsaid. */
  doubt: boolean;
}

/** One per Brain. */
export class Hearings {
  /** A Map keeps insertion order, so the one that nobody asked for longest comes first. */
  readonly #hearings = new Map<string, Hearing>();
  readonly #rooms_max: number;

  constructor(rooms_max: number) {
    this.#rooms_max = rooms_max;
  }

  /** The room's own, to be read and changed. */
  of({ tenant_id, room_id }: RoomAddress): Hearing {
    const id = `${tenant_id}.${room_id}`;
    const hearing = this.#hearings.get(id) ?? { term: undefined, doubt: false };
    this.#hearings.delete(id);
    this.#hearings.set(id, hearing);
    const oldest = this.#hearings.keys().next();
    if (this.#hearings.size > this.#rooms_max && !oldest.done) this.#hearings.delete(oldest.value);
    return hearing;
  }
}
