/**
 * The order of what one Shield publishes to one room, told beside each message on NATS: so that another
 * Shield notices when the servers hand it something again, in another order, or not at all (a server of
 * a cluster that stops for a while and goes on may do each). Pure. Rooms with a log have offsets instead.
 */
import { connectionId } from "../shared/ids.ts";
import type { Random } from "../shared/ids.ts";
import type { Spine } from "../shared/spine/spine.ts";
import type { Subject } from "../shared/subject.ts";

/** Spine header: who publishes, the number of its message to the room before this one, and this one's. */
export const ORDER_HEADER = "x-arqon-order";

/** Rooms whose last number is remembered; as many more from before that. */
const ROOMS_MAX = 8_192;
/** Publishers that a room remembers; above it the one that is heard of first is forgotten. */
const PUBLISHERS_MAX = 1_024;

/** What a publisher says of its messages: `{publisher} {before} {number}`, `before` 0 when it is not known. */
export class PublishedOrder {
  readonly #publisher: string;
  #number = 0;
  #recent = new Map<Subject, number>();
  #older = new Map<Subject, number>();

  /** `publisher` is an id that no other process has, nor an earlier one of the same node. */
  constructor(publisher: string) {
    this.#publisher = publisher;
  }

  /** For the next message to the room; it counts once it is `sent`. */
  next(subject: Subject): string {
    const before = this.#recent.get(subject) ?? this.#older.get(subject) ?? 0;
    return `${this.#publisher} ${before} ${this.#number + 1}`;
  }

  /** What was sent may not have arrived: the next message to each room says nothing of one before it. */
  forget(): void {
    this.#recent = new Map();
    this.#older = new Map();
  }

  /** The message of the last `next` is with the Spine. */
  sent(subject: Subject): void {
    this.#recent.set(subject, ++this.#number);
    if (this.#recent.size < ROOMS_MAX) return;
    this.#older = this.#recent;
    this.#recent = new Map();
  }
}

/** Of a new process; undefined on the embedded engine, which brings everything once and in order. */
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

/** What one room has heard of each publisher. */
export class HeardOrder {
  /** The last number of each. */
  #last = new Map<string, number>();
  /** The same, from before the last gap that subscribers were told of. */
  #before_gap = new Map<string, number>();

  /** How a message stands to those before it; what no Shield has written says nothing. */
  hear(text: string): Heard {
    const first = text.indexOf(" ");
    const second = text.indexOf(" ", first + 1);
    const before = Number(text.slice(first + 1, second));
    const number = Number(text.slice(second + 1));
    if (first < 1 || second < 0 || !(before >= 0) || !(number > before)) return "next";
    const publisher = text.slice(0, first);
    const last = this.#last.get(publisher);
    const reached = last ?? this.#before_gap.get(publisher);
    if (reached !== undefined && number <= reached) return "repeated";
    this.#last.set(publisher, number);
    if (last === undefined) this.#forget();
    return last === undefined || before <= last ? "next" : "hole";
  }

  /** Subscribers have been told that something is missing: the next of each publisher makes no hole. */
  gapTold(): void {
    this.#before_gap = this.#last;
    this.#last = new Map();
  }

  #forget(): void {
    if (this.#last.size <= PUBLISHERS_MAX) return;
    for (const oldest of this.#last.keys()) return void this.#last.delete(oldest);
  }
}
