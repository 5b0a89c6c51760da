/**
 * Which epochs of a room are lives of one log. The run's servers lose nothing, so whatever made a new
 * life begin, what was stored before is there with the same offsets: to the checker such epochs are one
 * log with several names. Epochs that share nothing are different logs. Pure.
 */
import type { Delivered } from "./recording.ts";
import type { Change } from "./walk.ts";

/** What the subscribers of one room saw of its epochs. */
export interface Seen {
  readonly deliveries: readonly Delivered[];
  readonly changes: readonly Change[];
}

/** The logs of one room, each under the name of one of its lives. */
export class Lineage {
  /** By epoch: another life of the same log; itself for the one that names it. */
  readonly #parents = new Map<string, string>();
  readonly #changes: readonly Change[];

  /**
   * One log: epochs between which a subscriber was recovered, and those between which one was told of a
   * loss where both have some message at the same offset.
   */
  constructor({ deliveries, changes }: Seen) {
    this.#changes = changes;
    const places = new Map<string, Set<string>>();
    for (const { epoch, offset, message_id } of deliveries) {
      const seen = places.get(epoch) ?? new Set();
      places.set(epoch, seen.add(`${offset} ${message_id}`));
    }
    const share = (one: string, other: string) => {
      const there = places.get(other);
      return there !== undefined && !there.isDisjointFrom(places.get(one) ?? new Set());
    };
    for (const { from, to, is_recovered } of changes) {
      if (is_recovered || share(from, to)) this.#parents.set(this.logOf(from), this.logOf(to));
    }
  }

  /** The log that the epoch is a life of. */
  logOf(epoch: string): string {
    let name = epoch;
    for (;;) {
      const parent = this.#parents.get(name) ?? name;
      if (parent === name) return name;
      name = parent;
    }
  }

  /** A way on which subscribers came from one epoch to others and back to it; empty: there is none. */
  circle(): readonly string[] {
    const onward = new Map<string, Set<string>>();
    for (const { from, to } of this.#changes) {
      onward.set(from, (onward.get(from) ?? new Set()).add(to));
    }
    const done = new Set<string>();
    const search = (way: readonly string[]): readonly string[] => {
      const [last = ""] = way.slice(-1);
      const at = way.indexOf(last);
      if (at < way.length - 1) return way.slice(at);
      if (done.has(last)) return [];
      for (const next of onward.get(last) ?? []) {
        const found = search([...way, next]);
        if (found.length > 0) return found;
      }
      done.add(last);
      return [];
    };
    for (const epoch of onward.keys()) {
      const found = search([epoch]);
      if (found.length > 0) return found;
    }
    return [];
  }
}
