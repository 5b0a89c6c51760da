/**
 * How far a pipeline of publishes has come: up to where everything is acknowledged, and whether what
 * was sent in a row is stored in a row. Pure.
 */
import { plural } from "../../shared/plural.ts";

/** Counts the acknowledgements of messages that are sent in the order of their numbers. */
export class Acknowledged {
  /** Everything up to this number is acknowledged. */
  upTo: number;
  /** Acknowledgements. */
  count = 0;
  /** Messages that a durable room stores before one that was sent earlier. */
  swapped = 0;
  #stored = 0;
  /** Those not yet passed, in order, with the offset once there is one. At most the window's size. */
  readonly #under_way = new Map<number, number | undefined>();

  constructor(upTo = 0) {
    this.upTo = upTo;
  }

  /** Numbers only grow. */
  begin(number: number): void {
    this.#under_way.set(number, undefined);
  }

  /** One that has begun; `stored` is its offset, 0 where the room is not durable. */
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

/** For stderr; "" when the order held. */
export function swappedText({ swapped }: Acknowledged): string {
  if (swapped === 0) return "";
  const messages = plural(swapped, "message is", "messages are");
  return `arq: ${messages} stored out of order: the bus refused some for a while. --window 1 keeps the order\n`;
}
