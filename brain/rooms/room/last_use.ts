/**
 * When this Brain last saw each of its rooms in use: a command, or a member that came or went.
 * Bounded; what is forgotten makes a room end later, never earlier (`sweep.ts`).
 */
import type { RoomAddress } from "../commands/command.ts";

/** The time of last use by room; one per Brain. Times are Unix ms by the caller's clock. */
export class LastUse {
  /** By room. A Map keeps insertion order, so the room unused for longest comes first. */
  readonly #used = new Map<string, number>();
  readonly #rooms_max: number;

  constructor(rooms_max: number) {
    this.#rooms_max = rooms_max;
  }

  /** When the room was last used; undefined: unknown. */
  get({ tenant_id, room_id }: RoomAddress): number | undefined {
    return this.#used.get(`${tenant_id}.${room_id}`);
  }

  note({ tenant_id, room_id }: RoomAddress, now_ms: number): void {
    const id = `${tenant_id}.${room_id}`;
    this.#used.delete(id);
    this.#used.set(id, now_ms);
    const oldest = this.#used.keys().next();
    if (this.#used.size > this.#rooms_max && !oldest.done) this.#used.delete(oldest.value);
  }

  forget({ tenant_id, room_id }: RoomAddress): void {
    this.#used.delete(`${tenant_id}.${room_id}`);
  }
}
