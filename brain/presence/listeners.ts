/** Callbacks of this process for changes of members and of owners. One that throws does not affect the others. */
import type { Logger } from "../../shared/logs/log.ts";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import type { LeaveCause, LeaveReasons, MemberChange } from "../cluster_view.ts";
import type { RoomDelta } from "./room_changes.ts";

/** One set of callbacks. */
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

  /** Calls every callback; exceptions are logged. */
  tell(value: Value): void {
    for (const listener of this.#listeners) {
      try {
        listener(value);
      } catch (error) {
        this.#log.error("a listener of presence failed", { error });
      }
    }
  }

  /** Removes every callback. */
  clear(): void {
    this.#listeners.clear();
  }
}

/** Converts a room's change for the rooms of this Brain. */
export function memberChange(
  room: RoomDelta,
  cause: LeaveCause,
  reasons?: LeaveReasons,
): MemberChange {
  const entries = (written: readonly WrittenEntry[]) => written.map(({ entry }) => entry);
  const { tenant_id, room_id, joins, leaves } = room;
  return {
    ...{ tenant_id, room_id, joins: entries(joins), leaves: entries(leaves), left: leaves },
    ...{ cause, reasons },
  };
}
