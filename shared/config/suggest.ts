/** "Did you mean": the nearest of a few known names. Pure; for messages only, never for decisions. */

const LONGEST = 64;

/** Optimal string alignment distance: insert, delete, replace or swap two neighbours, each costs 1. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(
        above[column]! + 1,
        current[column - 1]! + 1,
        above[column - 1]! + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] &&
        a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, before[column - 2]! + 1);
      current.push(cost);
    }
    before = above;
    above = current;
  }
  return above[b.length]!;
}

/** The known name that a person most likely meant, or undefined when none is near. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > LONGEST) return undefined;
  const plain = (text: string) => text.toLowerCase().replaceAll("-", "_");
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of known) {
    // A missing suffix ("heartbeat" for "heartbeat_ms"), or one that an upgrade removed, counts as one typing error.
    const is_start = name.length >= 3 && plain(candidate).startsWith(plain(name));
    const has_more = candidate.length >= 3 && plain(name).startsWith(`${plain(candidate)}_`);
    const distance = is_start || has_more ? 1 : editDistance(plain(name), plain(candidate));
    const allowed = Math.max(1, Math.floor(Math.max(name.length, candidate.length) / 3));
    if (distance <= allowed && distance < least) {
      best = candidate;
      least = distance;
    }
  }
  return best;
}
