/**
 * When a room was last known to be complete. From that follows whether a message can have come and been
 * removed from the log without having been seen here. Pure.
 */
import type { RoomClass } from "../../../shared/rooms/room_class.ts";

/**
 * The time beyond a class's age within which nothing can have come and gone unnoticed. A message stays
 * in the log for at least twice the age that its class asks for, and two minutes.
 */
const NOTICED_MS = 60_000;

/** The freshness of one room. Times are by the log's clock. */
export class Freshness {
  readonly #class_of: () => Pick<RoomClass, "history_ttl_seconds">;
  #known_ms = 0;

  constructor(class_of: () => Pick<RoomClass, "history_ttl_seconds">) {
    this.#class_of = class_of;
  }

  /** Takes note that the room was complete at that time. */
  know(time_ms: number): void {
    this.#known_ms = Math.max(this.#known_ms, time_ms);
  }

  /** Whether age can have removed no message by `time_ms` that came since then. */
  holds(time_ms: number): boolean {
    return this.keeps(this.#known_ms, time_ms);
  }

  /** Whether a message of `then_ms` is too young to have been removed by its age at `time_ms`. */
  keeps(then_ms: number, time_ms: number): boolean {
    const age_ms = this.#class_of().history_ttl_seconds * 1_000;
    return time_ms - then_ms < age_ms + NOTICED_MS;
  }
}
