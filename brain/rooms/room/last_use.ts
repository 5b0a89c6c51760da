/**
 * When this Brain last saw each of its rooms in use: a command, or a member that came or went.
 * Bounded; what is forgotten makes a room end later, never earlier (`sweep.ts`).
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { RoomAddress } from "../commands/command.ts";

/** The time of last use by room; one per Brain. Times are Unix ms by the caller's clock. */
export class LastUse {
  /** By room; the one unused for longest is forgotten first. */
  readonly #used: BoundedMap<string, number>;

  constructor(rooms_max: number) {
    this.#used = new BoundedMap(rooms_max);
  }

  /** When the room was last used; undefined: unknown. */
  get({ tenant_id, room_id }: RoomAddress): number | undefined {
    return this.#used.get(`${tenant_id}.${room_id}`);
  }

  note({ tenant_id, room_id }: RoomAddress, now_ms: number): void {
    this.#used.renew(`${tenant_id}.${room_id}`, now_ms);
  }

  forget({ tenant_id, room_id }: RoomAddress): void {
    this.#used.delete(`${tenant_id}.${room_id}`);
  }
}
