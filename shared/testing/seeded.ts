/** Seeded randomness: the same seed gives the same numbers on every machine. Not for ids or secrets. */

/** One stream of random numbers. */
export interface Random {
  /** In [0, 1). */
  next(): number;
  /** An integer from `low` to `high`, inclusive. */
  int(low: number, high: number): number;
  chance(probability: number): boolean;
  /** Throws RangeError for an empty list. */
  pick<T>(items: readonly T[]): T;
  /** The same items in random order. */
  shuffled<T>(items: readonly T[]): T[];
  /** An independent stream: it does not advance this one. */
  fork(label: number): Random;
}

/** Random numbers in [0, 1), the same for the same seed: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same numbers in the forms that a test needs. */
export function createRandom(seed: number): Random {
  const next = seeded(seed);
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick: (items) => {
      if (items.length === 0) throw new RangeError("nothing to pick from");
      return items[Math.floor(next() * items.length)] as typeof items[number];
    },
    shuffled<T>(items: readonly T[]) {
      const rest = [...items];
      return items.map(() => rest.splice(int(0, rest.length - 1), 1)[0] as T);
    },
    fork: (label) =>
      createRandom(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(label + 1, 0xc2b2ae35)),
  };
}
