/**
 * The order of the messages that one Shield publishes to one room, told beside each message on NATS. By
 * it another Shield notices when the servers bring a message again, in another order, or not at all (a
 * server of a cluster that stops for a while and goes on may do each). Pure except for `orderOn`. Rooms
 * with a log have offsets instead.
 */
import { connectionId } from "../../shared/ids.ts";
import type { Random } from "../../shared/ids.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import type { Subject } from "../../shared/subjects/subject.ts";

/**
 * The Spine header with the publisher, the number of its message to the room before this one, and this
 * one's.
 */
export const ORDER_HEADER = "x-arqon-order";

/** The least number of rooms whose last number is remembered. */
const ROOMS_MAX = 8_192;
/** The most publishers that a room remembers; above it the one that was heard of first is forgotten. */
const PUBLISHERS_MAX = 1_024;

/**
 * What a publisher says of its messages: `{publisher} {before} {number}`, with `before` 0 when that is
 * not known.
 */
export class PublishedOrder {
  readonly #publisher: string;
  #number = 0;
  /** The last number of each room. */
  readonly #last = new RecentMap<Subject, number>(ROOMS_MAX);

  /** Begins; `publisher` is an id that no other process has, nor an earlier life of the same node. */
  constructor(publisher: string) {
    this.#publisher = publisher;
  }

  /** The header for the next message to the room; it counts once the message is `sent`. */
  next(subject: Subject): string {
    return `${this.#publisher} ${this.#last.get(subject) ?? 0} ${this.#number + 1}`;
  }

  /**
   * Forgets all rooms, as messages may not have arrived: the next one to each room says nothing of one
   * before.
   */
  forget(): void {
    this.#last.clear();
  }

  /** Takes note that the message of the last `next` is with the Spine. */
  sent(subject: Subject): void {
    this.#last.set(subject, ++this.#number);
  }
}

/**
 * The order of a new process; undefined on the embedded engine, which brings everything once and in
 * order.
 */
export function orderOn(
  spine: Pick<Spine, "status" | "onEvent">,
  random: Random,
): PublishedOrder | undefined {
  if (spine.status.engine !== "nats") return undefined;
  const order = new PublishedOrder(connectionId(random));
  // Publishes that were lost with a connection were refused, so they are no hole for others.
  spine.onEvent(({ type }) => {
    if (type === "state") order.forget();
  });
  return order;
}

/**
 * What a message turned out to be. `repeated`: it came before, or a later one did. `hole`: one before
 * it has not come.
 */
export type Heard = "next" | "repeated" | "hole";

/** How far one publisher has been heard. */
interface Reached {
  number: number;
  /** How many gaps subscribers had been notified of when it was heard. */
  gaps: number;
}

const ZERO = 0x30, NINE = 0x39;

/** The whole number in the digits of a part of a text; NaN for anything else. */
function numberIn(text: string, from: number, to: number): number {
  let value = from < to ? 0 : NaN;
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    value = code >= ZERO && code <= NINE ? value * 10 + code - ZERO : NaN;
  }
  return value;
}

/** What one room has heard from each publisher. */
export class HeardOrder {
  readonly #reached = new BoundedMap<string, Reached>(PUBLISHERS_MAX);
  /** The publisher that was heard last: most often the next message is of the same. */
  #publisher = "";
  #last: Reached | undefined;
  #gaps = 0;

  /** Compares a message with those before it. A text that no Shield has written tells nothing. */
  hear(text: string): Heard {
    const first = text.indexOf(" ");
    const second = text.indexOf(" ", first + 1);
    if (first < 1 || second < 0) return "next";
    const before = numberIn(text, first + 1, second);
    const number = numberIn(text, second + 1, text.length);
    if (!(number > before)) return "next";
    const reached = this.#reachedBy(text, first);
    if (reached === undefined) {
      this.#last = { number, gaps: this.#gaps };
      this.#reached.set(this.#publisher, this.#last);
      return "next";
    }
    if (number <= reached.number) return "repeated";
    const is_told = reached.gaps < this.#gaps;
    const is_hole = before > reached.number && !is_told;
    reached.number = number;
    // The gap that is reported now comes before this message, and excuses nothing after it.
    reached.gaps = is_hole ? this.#gaps + 1 : this.#gaps;
    return is_hole ? "hole" : "next";
  }

  /** How far the publisher has been heard whose name ends at `end`. */
  #reachedBy(text: string, end: number): Reached | undefined {
    if (this.#publisher.length !== end || !text.startsWith(this.#publisher)) {
      this.#publisher = text.slice(0, end);
      this.#last = this.#reached.get(this.#publisher);
    }
    return this.#last;
  }

  /**
   * Takes note that subscribers have been notified of a gap: the next message of each publisher makes no
   * hole.
   */
  gapTold(): void {
    this.#gaps++;
  }
}

/** Gives a message to the Spine, with its place in the room's order. Throws as the Spine throws. */
export function give(
  { spine, order }: {
    readonly spine: Pick<Spine, "give">;
    readonly order?: PublishedOrder | undefined;
  },
  subject: Subject,
  routed: Uint8Array,
  headers: SpineHeaders | undefined,
): void {
  if (order === undefined) return spine.give(subject, routed, headers);
  spine.give(subject, routed, { ...headers, [ORDER_HEADER]: order.next(subject) });
  order.sent(subject);
}
