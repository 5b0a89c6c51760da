/**
 * The sequence of messages that one Shield publishes to one room, in a header of each message on NATS. With it another
 * Shield detects repeated, reordered or lost messages (a server of a cluster that stalls may cause each). Pure except
 * for `orderOn`. Rooms with a log have offsets instead.
 */
import { connectionId, type Random } from "../../shared/ids.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import type { Subject } from "../../shared/subjects/subject.ts";

/** The Spine header: the publisher, the number of its previous message to the room, and this one's. */
export const ORDER_HEADER = "x-arqon-order";

/** The least number of rooms with a remembered number. */
const ROOMS_MAX = 8_192;
/** The most publishers that a room remembers, oldest dropped first. */
const PUBLISHERS_MAX = 1_024;

/** A publisher's numbers: `{publisher} {before} {number}`, with `before` 0 if unknown. */
export class PublishedOrder {
  readonly #publisher: string;
  #number = 0;
  readonly #last = new RecentMap<Subject, number>(ROOMS_MAX);

  /** `publisher` is an id that no other process, and no earlier incarnation of this node, has used. */
  constructor(publisher: string) {
    this.#publisher = publisher;
  }

  /** The header for the next message to the room; the number counts once the message is `sent`. */
  next(subject: Subject): string {
    return `${this.#publisher} ${this.#last.get(subject) ?? 0} ${this.#number + 1}`;
  }

  /** Clears all rooms, since messages may be lost: the next one to each room has no predecessor. */
  forget(): void {
    this.#last.clear();
  }

  /** Call it once the message of the last `next` is in the Spine. */
  sent(subject: Subject): void {
    this.#last.set(subject, ++this.#number);
  }
}

/** The order of a new process; undefined on the embedded engine, which delivers everything once and in order. */
export function orderOn(
  spine: Pick<Spine, "status" | "onEvent">,
  random: Random,
): PublishedOrder | undefined {
  if (spine.status.engine !== "nats") return undefined;
  const order = new PublishedOrder(connectionId(random));
  // Publishes lost with a connection were refused, so they are no gap for others.
  spine.onEvent(({ type }) => {
    if (type === "state") order.forget();
  });
  return order;
}

/** The verdict on a message. `repeated`: it, or a later one, was received before. `hole`: an earlier one is missing. */
type OrderVerdict = "next" | "repeated" | "hole";

/** The last number received from one publisher. */
interface Reached {
  number: number;
  gaps: number;
}

const ZERO = 0x30, NINE = 0x39;

/** The integer in the digits of a part of a text; NaN for anything else. */
function numberIn(text: string, from: number, to: number): number {
  let value = from < to ? 0 : NaN;
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    value = code >= ZERO && code <= NINE ? value * 10 + code - ZERO : NaN;
  }
  return value;
}

/** The numbers that one room has received from each publisher. */
export class ReceivedOrder {
  readonly #reached = new BoundedMap<string, Reached>(PUBLISHERS_MAX);
  /** The publisher of the last message, which is usually the next one's, too. */
  #publisher = "";
  #last: Reached | undefined;
  #gaps = 0;

  /** Compares a message with those before it. A text that no Shield has written is ignored. */
  receive(text: string): OrderVerdict {
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
    const is_reported = reached.gaps < this.#gaps;
    const is_hole = before > reached.number && !is_reported;
    reached.number = number;
    // The gap reported now precedes this message, and explains no later gap.
    reached.gaps = is_hole ? this.#gaps + 1 : this.#gaps;
    return is_hole ? "hole" : "next";
  }

  /** The last number of the publisher whose name ends at `end`. */
  #reachedBy(text: string, end: number): Reached | undefined {
    if (this.#publisher.length !== end || !text.startsWith(this.#publisher)) {
      this.#publisher = text.slice(0, end);
      this.#last = this.#reached.get(this.#publisher);
    }
    return this.#last;
  }

  /** Call it after subscribers were notified of a gap: the next message of each publisher then reports none. */
  gapReported(): void {
    this.#gaps++;
  }
}

/** Gives a message to the Spine, with its number in the room. Throws as the Spine throws. */
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
