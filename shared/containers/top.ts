/**
 * The largest of very many items, without blocking the process: visits a bounded number in each turn and keeps a
 * bounded number.
 */

/** The most items visited in one turn of the event loop: a few milliseconds at most. */
const TURN_ITEMS = 2_048;

/** Which items come first. */
interface TopOptions<T> {
  /** How many items are kept. */
  readonly limit: number;
  /** Whether an item belongs to the list; others are not counted. */
  readonly accept?: (item: T) => boolean;
  /** The rank of an item: the larger, the earlier. */
  readonly score: (item: T) => number;
  /** The name of an item. Equal scores are sorted by name, so that the result is deterministic. */
  readonly name: (item: T) => string;
  /** Waits between two turns; by default for one turn of the event loop. */
  readonly pause?: () => Promise<void>;
}

/** The first of a list, and how long the list is. */
interface Top<T> {
  readonly items: readonly T[];
  readonly total: number;
}

interface Scored<T> {
  readonly item: T;
  readonly score: number;
}

const nextTurn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** Visits all items in separate turns; items that are added or removed meanwhile may be left out. */
export async function visitAll<T>(
  all: Iterable<T>,
  visit: (item: T) => void,
  pause: () => Promise<void> = nextTurn,
): Promise<void> {
  let looked = 0;
  for (const item of all) {
    if (++looked % TURN_ITEMS === 0) await pause();
    visit(item);
  }
}

/** The first of all items; items that are added or removed meanwhile may be included or not. */
export async function topOf<T>(all: Iterable<T>, options: TopOptions<T>): Promise<Top<T>> {
  const { limit, accept, score, name, pause } = options;
  const compare = (a: Scored<T>, b: Scored<T>) =>
    b.score - a.score || (name(a.item) < name(b.item) ? -1 : 1);
  let best: Scored<T>[] = [];
  let least = -Infinity;
  let total = 0;
  const cut = () => {
    best = best.sort(compare).slice(0, limit);
    if (best.length === limit) least = best.at(-1)?.score ?? Infinity;
  };
  const take = (item: T) => {
    if (accept?.(item) === false) return;
    total++;
    const scored = { item, score: score(item) };
    if (scored.score < least) return;
    best.push(scored);
    if (best.length >= 2 * limit + 1_000) cut();
  };
  await visitAll(all, take, pause);
  cut();
  return { items: best.map(({ item }) => item), total };
}
