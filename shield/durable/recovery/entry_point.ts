/**
 * The point at which a subscriber enters a durable room, and what it receives. The room advances between the decision
 * and the turn in which the subscriber is notified: see `EntryPoint`.
 */
import { isExpired, type RecoverableRoom } from "./recovery.ts";
import type { EntryPoint, Flow, Unrecovered } from "../../fanout/entry.ts";
import { cursorAfter, cursorBefore, cursorFrom } from "../messages/timeline.ts";
import type { Cursor, Entry } from "../messages/timeline.ts";
import { LogFlow } from "./flow.ts";

/** An entry point. `read` is the last entry that a recovered subscriber has; undefined for any other subscriber. */
export class LiveEntryPoint implements EntryPoint {
  readonly #room: RecoverableRoom;
  readonly #gaps: number;
  #recovered: boolean | undefined;
  #reason: "" | Unrecovered;
  #read: Entry | undefined;
  #cursor: Cursor | undefined;
  readonly #tail = () => this.#room.follower.timeline.tail;

  constructor(room: RecoverableRoom, reason: "" | Unrecovered, read: Entry | undefined) {
    this.#room = room;
    this.#gaps = room.follower.gaps;
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

  flow(before?: Flow, may_return = false): LogFlow {
    const known = before instanceof LogFlow ? before : new LogFlow();
    if (may_return && known.is_live) known.rewind(cursorAfter(this.#tail(), this.#tail));
    const flow = may_return ? new LogFlow() : known;
    flow.rewind(this.cursor);
    return flow;
  }

  /** The position where the subscriber continues. Always the same object. */
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
    const { gaps, last_gap } = this.#room.follower;
    if (this.#cursor !== undefined || this.#read === undefined || gaps === this.#gaps) return;
    this.#recovered = false;
    this.#reason = last_gap;
    this.#read = undefined;
  }

  #place(): Cursor {
    const tail = this.#tail;
    if (this.#read !== undefined) return cursorAfter(this.#read, tail);
    const last = this.#last;
    if (last === undefined) return cursorAfter(tail(), tail);
    return last === tail() ? cursorBefore(last, tail) : cursorFrom(last, tail);
  }

  /** The room's last message, if the subscriber receives it at once. */
  get #last(): Entry | undefined {
    const { newest } = this.#room.follower;
    const room_class = this.#room.class_of();
    if (this.#read !== undefined || !room_class.cache_last || newest === undefined) {
      return undefined;
    }
    return isExpired(newest.time_ms, this.#room.now(), room_class) ? undefined : newest;
  }
}
