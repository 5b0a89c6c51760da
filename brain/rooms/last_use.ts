/**
 * When this Brain last saw each of its rooms in use: a command, a member's coming or going. Bounded;
 * what is forgotten makes a room end later, never earlier (`sweep.ts`).
 */
import type { RoomAddress } from "./command.ts";

/** One per Brain. Times are the caller's clock, Unix ms. */
export class LastUse {
  /** A Map keeps insertion order, so the one unused for longest comes first. */
  readonly #used = new Map<string, number>();
  readonly #rooms_max: number;

  constructor(rooms_max: number) {
    this.#rooms_max = rooms_max;
  }

  /** Undefined: unknown. */
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
