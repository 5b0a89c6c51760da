/**
 * What one class of users of a tenant has used in the present minute, by pattern of room. The message path adds
 * to plain numbers here. Who writes them down is `writer.ts`.
 */
import { COUNTERS, type Counts, noCounts, type UsageRow } from "./counts.ts";

/** What stands for rooms, users and policies that are too many to be counted by name. */
export const OTHERS = "_other";

/**
 * The bytes of the rows of one tenant in a minute, so that a minute always fits into one block. What is beyond
 * them, `_other` of 64 classes of users, takes less than the rest of a block.
 */
const ROWS_BYTES = 393_216;
/** The most bytes of a row's counts, as far as a minute can fill them, and of one of fuel alone. */
const COUNTS_BYTES = 168;
const FUEL_BYTES = 40;

/** The rows that a tenant may still have in this minute. */
export class RowBudget {
  readonly #rows_max: number;
  #rows = 0;
  #bytes = 0;

  constructor(rows_max: number) {
    this.#rows_max = rows_max;
  }

  /** Whether there may be one more row, of those names; then it counts. */
  take(bytes: number): boolean {
    if (this.#rows >= this.#rows_max || this.#bytes + bytes > ROWS_BYTES) return false;
    this.#rows++;
    this.#bytes += bytes;
    return true;
  }

  /** The next minute begins. */
  renew(): void {
    this.#rows = this.#bytes = 0;
  }
}

/** The bytes of names as they are written. */
const namesBytes = (...names: readonly string[]): number =>
  new TextEncoder().encode(JSON.stringify(names)).length;

/** The counts about one pattern of rooms. */
interface RoomUse {
  readonly counts: Counts;
  /** Units of instructions by policy; undefined: none has run. */
  fuel: Map<string, number> | undefined;
}

/** The pattern under which a class of rooms is counted. */
const patternOf = (pattern: string): string => pattern === "" ? "*" : pattern;

/** One class of users of a tenant. */
export class UserUse {
  readonly #user: string;
  readonly #rows: RowBudget;
  readonly #rooms = new Map<string, RoomUse>();
  #open = 0;
  /** Until when the time of open connections is counted, by the monotonic clock. */
  #counted_ms = 0;
  #connection_ms = 0;

  constructor(user: string, rows: RowBudget) {
    this.#user = user;
    this.#rows = rows;
  }

  /** How many connections are open. */
  get open(): number {
    return this.#open;
  }

  /** The counts of a class of rooms, by its pattern. To be asked for anew for each message. */
  room(pattern: string): Counts {
    return this.#room(patternOf(pattern)).counts;
  }

  /** Counts a message that a subscriber gets which catches up with its room. */
  caughtUp(pattern: string, size_bytes: number): void {
    countDelivery(this.room(pattern), size_bytes);
  }

  /** Counts what a policy has used, beside rooms without `pattern`. */
  fuel(pattern: string | undefined, policy: string, units: number): void {
    const room_name = pattern === undefined ? "" : patternOf(pattern);
    const room = this.#room(room_name);
    const by_policy = room.fuel ??= new Map();
    const known = by_policy.get(policy);
    const is_counted = known !== undefined ||
      this.#rows.take(namesBytes(room_name, this.#user, policy) + FUEL_BYTES);
    const name = is_counted ? policy : OTHERS;
    by_policy.set(name, (by_policy.get(name) ?? 0) + units);
  }

  /** A connection was opened, or closed (`by` −1), at this time of the monotonic clock. */
  connections(by: 1 | -1, now_ms: number): void {
    this.#countTime(now_ms);
    this.#open += by;
  }

  /** The rows up to this time. With `is_end` the minute is over: counting begins anew. */
  take(now_ms: number, is_end: boolean): UsageRow[] {
    this.#countTime(now_ms);
    const rows: UsageRow[] = [];
    const user = this.#user;
    if (this.#connection_ms > 0) {
      const counts = { ...noCounts(), connection_ms: this.#connection_ms };
      rows.push({ room: "", user, policy: "", counts });
    }
    for (const [room, { counts, fuel }] of this.#rooms) {
      if (COUNTERS.some((counter) => counts[counter] !== 0)) {
        rows.push({ room, user, policy: "", counts: { ...counts } });
      }
      for (const [policy, fuel_units] of fuel ?? []) {
        rows.push({ room, user, policy, counts: { ...noCounts(), fuel_units } });
      }
    }
    if (is_end) {
      this.#rooms.clear();
      this.#connection_ms = 0;
    }
    return rows;
  }

  #room(pattern: string): RoomUse {
    const known = this.#rooms.get(pattern);
    if (known !== undefined) return known;
    // A room may have a row of its own, and one of the fuel of policies that are too many.
    const names_bytes = namesBytes(pattern, this.#user, OTHERS);
    const is_counted = this.#rows.take(2 * names_bytes + COUNTS_BYTES + FUEL_BYTES);
    if (!is_counted && pattern !== OTHERS) return this.#room(OTHERS);
    const room = { counts: noCounts(), fuel: undefined };
    this.#rooms.set(pattern, room);
    return room;
  }

  #countTime(now_ms: number): void {
    this.#connection_ms += this.#open * (now_ms - this.#counted_ms);
    this.#counted_ms = now_ms;
  }
}

/** Counts a frame that is handed to a subscriber, or with `by` −1 is not after all: a message, or with `is_own` an event of the bus. */
export function countDelivery(
  counts: Counts,
  size_bytes: number,
  is_own?: boolean,
  by: 1 | -1 = 1,
): void {
  counts.messages_out += by;
  counts.bytes_out += by * size_bytes;
  if (is_own !== true) counts.deliveries += by;
}
