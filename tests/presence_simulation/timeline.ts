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
  readonly run: () => void;
}

/** The clock of a world. Starts at 0. */
export class Timeline {
  /** Simulated ms. */
  now_ms = 0;
  /** Number of events so far. */
  ran = 0;
  /** The next event is the last one; of events at one time, the one that was planned first. */
  readonly #events: Event[] = [];

  /** Runs once, `delay_ms` from now (for 0 immediately after the current event). */
  after(delay_ms: number, run: () => void): Planned {
    const at_ms = this.now_ms + Math.max(delay_ms, 0);
    const event = { at_ms, run, cancelled: false };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle] as Event).at_ms > at_ms) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
    return event;
  }

  /** Runs every event up to and including `until_ms`, and sets the clock to it. */
  runUntil(until_ms: number): void {
    for (;;) {
      const first = this.#events.at(-1);
      if (first === undefined || first.at_ms > until_ms) break;
      this.#events.pop();
      if (first.cancelled) continue;
      this.now_ms = first.at_ms;
      this.ran++;
      first.run();
    }
    this.now_ms = until_ms;
  }
}
