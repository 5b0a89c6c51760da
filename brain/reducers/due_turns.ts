/**
 * Which rooms are read next that wait for that without a call: of each tenant one in turn, and none again before all
 * others have had their turn. So rooms that cannot be read, or one tenant's many, hold up nobody else's.
 */
import { keyOf } from "./known_rooms.ts";
import type { RoomAddress as Place } from "../rooms/commands/command.ts";

/** The turns of a Brain. */
export class DueTurns {
  /** Rooms that have had theirs since all had. */
  #had = new Set<string>();

  /** The next ones of those that wait, at most so many. */
  take<P extends Place>(waiting: Iterable<P>, most: number): P[] {
    const had = new Set<string>();
    const tenants = new Map<string, P[]>();
    for (const at of waiting) {
      const key = keyOf(at);
      if (this.#had.has(key)) had.add(key);
      else tenants.set(at.tenant_id, [...tenants.get(at.tenant_id) ?? [], at]);
    }
    const taken: P[] = [];
    for (let turn = 0; taken.length < most && tenants.size > 0; turn++) {
      for (const [tenant_id, rooms] of tenants) {
        const at = rooms[turn];
        if (at === undefined) tenants.delete(tenant_id);
        else if (taken.push(at) === most) break;
      }
    }
    // With fewer, all have had their turn. What no longer waits is forgotten.
    this.#had = taken.length < most ? new Set() : had.union(new Set(taken.map(keyOf)));
    return taken;
  }
}
