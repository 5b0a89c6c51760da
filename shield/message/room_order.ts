/**
 * The order of the messages that one Shield publishes to one room, told beside each message on
 * NATS. So another Shield notices when the servers bring a message again, in another order, or not
 * at all (a server of a cluster that stops for a while and goes on may do each). Pure but for
 * `orderOn`. Rooms with a log have offsets instead.
 */
import { connectionId } from "../../shared/ids.ts";
import type { Random } from "../../shared/ids.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { Subject } from "../../shared/subjects/subject.ts";

/** Spine header: who publishes, the number of its message to the room before this one, and this one's. */
export const ORDER_HEADER = "x-arqon-order";

/** Rooms whose last number is remembered, at least. */
const ROOMS_MAX = 8_192;
/** Publishers that a room remembers; above it the one that is heard of first is forgotten. */
const PUBLISHERS_MAX = 1_024;

/** What a publisher says of its messages: `{publisher} {before} {number}`, `before` 0 when it is not known. */
export class PublishedOrder {
  readonly #publisher: string;
  #number = 0;
  /** The last number of each room. */
  readonly #last = new RecentMap<Subject, number>(ROOMS_MAX);

  /** `publisher` is an id that no other process has, nor an earlier one of the same node. */
  constructor(publisher: string) {
    this.#publisher = publisher;
  }

  /** For the next message to the room; it counts once it is `sent`. */
  next(subject: Subject): string {
    return `${this.#publisher} ${this.#last.get(subject) ?? 0} ${this.#number + 1}`;
  }

  /** What was sent may not have arrived: the next message to each room says nothing of one before it. */
  forget(): void {
    this.#last.clear();
  }

  /** The message of the last `next` is with the Spine. */
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
  // Publishes that a lost connection took with it were refused: for others they are no hole.
  spine.onEvent(({ type }) => {
    if (type === "state") order.forget();
  });
  return order;
}

/** `repeated`: it came before, or what came after it did. `hole`: something before it has not come. */
export type Heard = "next" | "repeated" | "hole";

/** How far one publisher has been heard. */
interface Reached {
  number: number;
  /** How many gaps subscribers had been told of then. */
  gaps: number;
}

/** What one room has heard of each publisher. */
export class HeardOrder {
  readonly #reached = new BoundedMap<string, Reached>(PUBLISHERS_MAX);
  #gaps = 0;

  /** How a message stands to those before it; what no Shield has written says nothing. */
  hear(text: string): Heard {
    const first = text.indexOf(" ");
    const second = text.indexOf(" ", first + 1);
    const before = Number(text.slice(first + 1, second));
    const number = Number(text.slice(second + 1));
    if (first < 1 || second < 0 || !(before >= 0) || !(number > before)) return "next";
    const publisher = text.slice(0, first);
    const reached = this.#reached.get(publisher);
    if (reached === undefined) {
      this.#reached.set(publisher, { number, gaps: this.#gaps });
      return "next";
    }
    if (number <= reached.number) return "repeated";
    const is_told = reached.gaps < this.#gaps;
    const is_hole = before > reached.number && !is_told;
    reached.number = number;
    // The gap that is told of now stands before this message, and excuses nothing after it.
    reached.gaps = is_hole ? this.#gaps + 1 : this.#gaps;
    return is_hole ? "hole" : "next";
  }

  /** Subscribers have been told that something is missing: the next of each publisher makes no hole. */
  gapTold(): void {
    this.#gaps++;
  }
}
