/**
 * Virtual time: a queue of events in order of their time, and of their making when that is equal.
 * Nothing here waits; a simulated hour passes as fast as its events run.
 */

/** An event that has not run yet. */
export interface Planned {
  cancelled: boolean;
}

interface Event extends Planned {
  readonly at_ms: number;
  readonly order: number;
  readonly run: () => void;
}

function isBefore(one: Event, other: Event): boolean {
  return one.at_ms < other.at_ms || (one.at_ms === other.at_ms && one.order < other.order);
}

/** The clock of a world. Starts at 0. */
export class Timeline {
  /** Simulated ms. */
  now_ms = 0;
  /** Events run so far. */
  ran = 0;
  readonly #heap: Event[] = [];
  #order = 0;

  /** Runs once, `delay_ms` from now (at once, but not before this event has ended, for 0). */
  after(delay_ms: number, run: () => void): Planned {
    const at_ms = this.now_ms + Math.max(delay_ms, 0);
    const event = { at_ms, order: this.#order++, run, cancelled: false };
    this.#push(event);
    return event;
  }

  /** Runs every event up to and at `until_ms`, then stands there. */
  runUntil(until_ms: number): void {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.at_ms > until_ms) break;
      this.#pop();
      if (first.cancelled) continue;
      this.now_ms = first.at_ms;
      this.ran++;
      first.run();
    }
    this.now_ms = until_ms;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    const count = heap.length;
    if (count === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= count) break;
      if (child + 1 < count && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}
