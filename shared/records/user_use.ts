/**
 * The usage of one class of users of a tenant in the current minute, by pattern of room. The message path adds to plain
 * numbers here; `writer.ts` stores them.
 */
import { COUNTERS, type Counts, noCounts, type UsageRow } from "./counts.ts";

/** The name for rooms, users and policies beyond the limit of names. */
export const OTHERS = "_other";

/**
 * Bytes of the rows of one tenant in a minute, so that a minute always fits one block. The rest, `_other` of 64 classes
 * of users, takes less than the rest of a block.
 */
const ROWS_BYTES = 393_216;
/** The most bytes of a row's counters in one minute, and of one with fuel alone. */
const COUNTS_BYTES = 168;
const FUEL_BYTES = 40;

/** The rows that a tenant may still add in this minute. */
export class RowBudget {
  readonly #rows_max: number;
  #rows = 0;
  #bytes = 0;

  constructor(rows_max: number) {
    this.#rows_max = rows_max;
  }

  /** Whether another row with names of that size fits; then it is counted. */
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

const namesBytes = (...names: readonly string[]): number =>
  new TextEncoder().encode(JSON.stringify(names)).length;

/** The counters of one pattern of rooms. */
interface RoomUse {
  readonly counts: Counts;
  /** Instruction units by policy; undefined: none has run. */
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
  /** When connection time was last counted, monotonic ms. */
  #counted_ms = 0;
  #connection_ms = 0;

  constructor(user: string, rows: RowBudget) {
    this.#user = user;
    this.#rows = rows;
  }

  get open(): number {
    return this.#open;
  }

  /** The counters of a class of rooms, by its pattern. Call it again for each message. */
  room(pattern: string): Counts {
    return this.#room(patternOf(pattern)).counts;
  }

  /** Counts a message delivered to a subscriber that catches up with its room. */
  caughtUp(pattern: string, size_bytes: number): void {
    countDelivery(this.room(pattern), size_bytes);
  }

  /** Counts the fuel of a policy; without `pattern`, outside of rooms. */
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

  /** A connection was opened, or closed (`by` −1), at this monotonic time. */
  connections(by: 1 | -1, now_ms: number): void {
    this.#countTime(now_ms);
    this.#open += by;
  }

  /** The rows up to this time. `is_end`: the minute has ended, and counts restart. */
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
    // A room may have a row of its own, and another with the fuel of surplus policies.
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

/** Counts a frame for a subscriber: a message, or with `is_own` an event of the bus. `by` −1: it was not sent. */
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
