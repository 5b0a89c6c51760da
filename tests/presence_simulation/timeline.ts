/**
 * Virtual time: a queue of events ordered by time, then by creation. Nothing here waits; a simulated hour takes only as
 * long as its events.
 */

/** A pending event. */
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
  /** Number of events so far. */
  ran = 0;
  readonly #heap: Event[] = [];
  #order = 0;

  /** Runs once, `delay_ms` from now (for 0 immediately after the current event). */
  after(delay_ms: number, run: () => void): Planned {
    const at_ms = this.now_ms + Math.max(delay_ms, 0);
    const event = { at_ms, order: this.#order++, run, cancelled: false };
    this.#push(event);
    return event;
  }

  /** Runs every event up to and including `until_ms`, and sets the clock to it. */
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
