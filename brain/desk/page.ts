/** One page of a list that is too long to sort for each query. Pure. Its commands define the entries and cursors. */
import type { Spine } from "../../shared/spine/contract/spine.ts";

/** The largest page of a list, even if the Spine's messages may be larger. */
const PAGE_BYTES_MAX = 393_216;

/** The most bytes of one page of a list, which has to fit into a message of the Spine. */
export const pageBytesMax = ({ payload_bytes_max }: Pick<Spine, "payload_bytes_max">): number =>
  Math.min(PAGE_BYTES_MAX, Math.floor(payload_bytes_max / 2));

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
