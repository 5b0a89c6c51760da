/**
 * The largest of very many, without holding up the process: looks at a bounded number a turn and keeps
 * a bounded number. Knows nothing of what they are.
 */

/** Items that are looked at in one turn of the event loop: some milliseconds at most. */
const TURN_ITEMS = 2_048;

/** Which come first. */
export interface TopOptions<T> {
  /** How many are kept. */
  readonly limit: number;
  /** What does not belong to the list is not counted. */
  readonly accept?: (item: T) => boolean;
  /** The larger, the earlier. */
  readonly score: (item: T) => number;
  /**
   * The name of an item: of equal scores the smaller name comes first, so that an answer is the
   * same twice.
   */
  readonly name: (item: T) => string;
  /** Between two turns; the default lets everything else run. */
  readonly pause?: () => Promise<void>;
}

/** The first of a list, and how long the list is. */
export interface Top<T> {
  readonly items: readonly T[];
  readonly total: number;
}

interface Scored<T> {
  readonly item: T;
  readonly score: number;
}

const nextTurn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** Looks at all of them in turns of their own; what comes or goes meanwhile may be left out. */
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

/** What comes or goes meanwhile may be in it or not. */
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
