/** Waits until a room's list has reached an offset. Why it has not reached it yet is not known here. */
import type { Timeline } from "../messages/timeline.ts";

interface Arrival {
  readonly offset: number;
  readonly list: Timeline;
  readonly resolve: () => void;
}

/** The waits for one room. */
export class Arrivals {
  #arrivals: Arrival[] = [];

  /** Resolves when the list has reached `offset`, or is not the room's any longer. */
  wait(offset: number, list: Timeline): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#arrivals.push({ offset, list, resolve });
    return promise;
  }

  /**
   * Wakes the waits that `list`, the room's present one, allows. Undefined: nothing will be read any
   * longer, so nobody needs to wait.
   */
  announce(list: Timeline | undefined): void {
    if (this.#arrivals.length === 0) return;
    this.#arrivals = this.#arrivals.filter((arrival) => {
      if (arrival.list === list && list.last < arrival.offset) return true;
      arrival.resolve();
      return false;
    });
  }
}
