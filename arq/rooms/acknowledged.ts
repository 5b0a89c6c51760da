/**
 * How far a pipeline of publishes has come: up to which message all are acknowledged, and whether a durable
 * room has stored them in the order in which they were sent. Pure.
 */
import { plural } from "../../shared/plural.ts";

/** Counts the acknowledgements of numbered messages; numbers grow in the order of sending. */
export class Acknowledged {
  /** Every message up to this number is acknowledged. */
  upTo: number;
  /** Number of acknowledgements. */
  count = 0;
  /** Number of messages that a durable room has stored before one that was sent earlier. */
  swapped = 0;
  #stored = 0;
  /**
   * Messages after `upTo` that are under way, in order, each with its offset once it has one. At most as many
   * as the window holds.
   */
  readonly #under_way = new Map<number, number | undefined>();

  constructor(upTo = 0) {
    this.upTo = upTo;
  }

  /** Notes that a message is sent. Its number is higher than those before. */
  begin(number: number): void {
    this.#under_way.set(number, undefined);
  }

  /** Notes the acknowledgement of a message. `stored` is its offset, 0 where the room is not durable. */
  add(acknowledged: number, stored: number): void {
    this.count += 1;
    this.#under_way.set(acknowledged, stored);
    for (const [number, offset] of this.#under_way) {
      if (offset === undefined) return;
      this.#under_way.delete(number);
      this.upTo = number;
      if (offset > 0 && offset < this.#stored) this.swapped += 1;
      this.#stored = Math.max(this.#stored, offset);
    }
  }
}

/** A line for stderr about messages that were stored out of order; "" when none were. */
export function swappedText({ swapped }: Acknowledged): string {
  if (swapped === 0) return "";
  const messages = plural(swapped, "message is", "messages are");
  return `arq: ${messages} stored out of order: the bus refused some for a while. --window 1 keeps the order\n`;
}
