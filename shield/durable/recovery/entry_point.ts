/**
 * The point at which a subscriber enters a durable room, and what it receives. The room advances between the decision
 * and the turn in which the subscriber is notified: see `EntryPoint`.
 */
import { isExpired } from "./recovery.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { EntryPoint, Lost, Unrecovered } from "../../fanout/entry.ts";
import { cursorAfter, cursorBefore, cursorFrom } from "../messages/timeline.ts";
import type { Cursor, Entry, Timeline } from "../messages/timeline.ts";

/** The room of an entry point, in its current state. */
export interface EntryPointRoom {
  readonly timeline: Timeline;
  /** The room's newest message, also where it is in no list. */
  readonly newest: Entry | undefined;
  readonly offset: number;
  readonly epoch: string;
  /** How often `onGap` was called so far. */
  readonly gaps: number;
  readonly last_gap: Lost;
  /** The log's clock. */
  now(): number;
  class_of(): RoomClass;
}

/**
 * An entry point. `read` is the last entry that a recovered subscriber has; undefined for any other
 * subscriber.
 */
export class LiveEntryPoint implements EntryPoint {
  readonly #room: EntryPointRoom;
  readonly #gaps: number;
  #recovered: boolean | undefined;
  #reason: "" | Unrecovered;
  #read: Entry | undefined;
  #cursor: Cursor | undefined;

  constructor(room: EntryPointRoom, reason: "" | Unrecovered, read: Entry | undefined) {
    this.#room = room;
    this.#gaps = room.gaps;
    this.#reason = reason;
    this.#read = read;
    this.#recovered = read !== undefined ? true : reason !== "" ? false : undefined;
  }

  get recovered(): boolean | undefined {
    this.#look();
    return this.#recovered;
  }

  get reason(): "" | Unrecovered {
    this.#look();
    return this.#reason;
  }

  get cursor(): Cursor {
    this.#look();
    return this.#cursor ??= this.#place();
  }

  position(): { offset: number; epoch: string } {
    const { offset, epoch } = this.#room;
    // A last message from before an erased one is where its subscriber begins.
    return { offset: Math.min(offset, this.#last?.offset ?? offset), epoch };
  }

  /** Checks for a gap since the decision that was not reported to this subscriber. */
  #look(): void {
    const { gaps, last_gap } = this.#room;
    if (this.#cursor !== undefined || this.#read === undefined || gaps === this.#gaps) return;
    this.#recovered = false;
    this.#reason = last_gap;
    this.#read = undefined;
  }

  #place(): Cursor {
    const room = this.#room;
    const tail = () => room.timeline.tail;
    if (this.#read !== undefined) return cursorAfter(this.#read, tail);
    const last = this.#last;
    if (last === undefined) return cursorAfter(tail(), tail);
    return last === tail() ? cursorBefore(last, tail) : cursorFrom(last, tail);
  }

  /** The room's last message, if the subscriber receives it at once. */
  get #last(): Entry | undefined {
    const { newest } = this.#room;
    const room_class = this.#room.class_of();
    if (this.#read !== undefined || !room_class.cache_last || newest === undefined) {
      return undefined;
    }
    return isExpired(newest.time_ms, this.#room.now(), room_class) ? undefined : newest;
  }
}
