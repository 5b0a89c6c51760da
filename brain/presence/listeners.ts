/** Who in this process wants to hear of members and owners. A listener that fails hurts nobody else. */
import type { Logger } from "../../shared/log.ts";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import type { LeaveCause, MemberChange } from "../cluster_view.ts";
import type { RoomDelta } from "./room_changes.ts";

/** One set of listeners. */
export class Listeners<Value> {
  readonly #log: Logger;
  readonly #listeners = new Set<(value: Value) => void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  get size(): number {
    return this.#listeners.size;
  }

  /** Calls back until the returned function is called. */
  add(listener: (value: Value) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Tells all; what one throws is logged. */
  tell(value: Value): void {
    for (const listener of this.#listeners) {
      try {
        listener(value);
      } catch (error) {
        this.#log.error("a listener of presence failed", { error });
      }
    }
  }

  /** Nobody listens any more. */
  clear(): void {
    this.#listeners.clear();
  }
}

/** A room's change as the rooms of this Brain hear it. */
export function memberChange(room: RoomDelta, cause: LeaveCause): MemberChange {
  const entries = (written: readonly WrittenEntry[]) => written.map(({ entry }) => entry);
  const { tenant_id, room_id, joins, leaves } = room;
  return { tenant_id, room_id, joins: entries(joins), leaves: entries(leaves), cause };
}
