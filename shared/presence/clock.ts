/**
 * Arithmetic of clocks: a map from writer to the counter up to which everything of it has been
 * seen. Pure; what the counters count is `state.ts`.
 */
import type { WriterClock, WriterKey } from "./types.ts";
import { writerKey } from "./types.ts";

/** How much of each writer has been seen; a writer that is not in it is not known at all. */
export type Clocks = ReadonlyMap<WriterKey, number>;

/** A clock and whose it is: a Brain's id, for one. */
export interface LabelledClocks {
  readonly label: string;
  readonly clocks: Clocks;
}

/** The map form of a list; of a writer that is named twice the last counts. */
export function clocksOf(list: Iterable<WriterClock>): Clocks {
  const clocks = new Map<WriterKey, number>();
  for (const { writer, clock } of list) clocks.set(writerKey(writer), clock);
  return clocks;
}

/** Whether `above` knows every writer that `below` knows, and as much of each. */
export function dominates(above: Clocks, below: Clocks): boolean {
  if (above.size < below.size) return false;
  for (const [key, clock] of below) {
    const known = above.get(key);
    if (known === undefined || known < clock) return false;
  }
  return true;
}

function joined(one: Clocks, other: Clocks, pick: (a: number, b: number) => number): Clocks {
  const result = new Map(one);
  for (const [key, clock] of other) {
    const known = result.get(key);
    result.set(key, known === undefined ? clock : pick(known, clock));
  }
  return result;
}

/** The least clock that dominates both. */
export function upperBound(one: Clocks, other: Clocks): Clocks {
  return joined(one, other, Math.max);
}

/** The lower counter of each writer. One that only one side knows stays: it does not count as 0. */
export function lowerBound(one: Clocks, other: Clocks): Clocks {
  return joined(one, other, Math.min);
}

/** Only the given writers. */
export function restrictClocks(clocks: Clocks, keys: Iterable<WriterKey>): Clocks {
  const result = new Map<WriterKey, number>();
  for (const key of keys) {
    const clock = clocks.get(key);
    if (clock !== undefined) result.set(key, clock);
  }
  return result;
}

/**
 * Adds to a set only what it takes to cover the union: who to ask so that few are asked. One that
 * adds nothing is left out; one that covers all of them replaces the set.
 */
export function addClocks(
  set: readonly LabelledClocks[],
  added: LabelledClocks,
): readonly LabelledClocks[] {
  const union = set.reduce<Clocks>((all, { clocks }) => upperBound(all, clocks), new Map());
  if (dominates(union, added.clocks)) return set;
  return dominates(added.clocks, union) ? [added] : [...set, added];
}
