/**
 * One page of a list that is too long to sort for each query. Pure. `brain/presence/member_commands.ts` and `ban_query.ts` define the
 * entries and cursors.
 */

/** The first `limit` entries after `after` in the order of `compare`, without sorting all of them. */
export function pageOf<Place, Entry extends Place>(
  entries: Iterable<Entry>,
  compare: (a: Place, b: Place) => number,
  after: Place | undefined,
  limit: number,
): Entry[] {
  let best: Entry[] = [];
  let last: Entry | undefined;
  const cut = () => {
    best = best.sort(compare).slice(0, limit);
    if (best.length === limit) last = best[limit - 1];
  };
  for (const entry of entries) {
    if (after !== undefined && compare(entry, after) <= 0) continue;
    if (last !== undefined && compare(entry, last) > 0) continue;
    best.push(entry);
    if (best.length >= 2 * limit) cut();
  }
  cut();
  return best;
}
