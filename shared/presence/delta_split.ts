/**
 * Splits a writer's batch of changes into deltas that are small enough to send; each one continues the previous one.
 * Not for answers to pulls: those are pages of one snapshot (`pages.ts`).
 */
import { entryBytes } from "./pages.ts";
import type { Delta, Entry } from "./types.ts";

/** A 64-bit number in a packed field. */
const COUNTER_BYTES = 10;
/** The most overhead of a delta beside its entries. */
const OVERHEAD_BYTES = 256;

/** An indivisible unit: an entry, a removed counter, or both, which is an update. */
interface Unit {
  /** The unit's counter. A removal directly before an entry is reported with it. */
  readonly at: number;
  readonly entry: Entry | undefined;
  readonly removed: readonly number[];
}

/**
 * The counter at which each removal is reported: late enough that it is never before its end, and for an update never
 * before the entry that replaces it.
 */
function endsOf({ start, end, entries, removed }: Delta): number[] {
  const ends = new Array<number>(removed.length);
  let born = entries.length - 1;
  let free = end;
  for (let index = removed.length - 1; index >= 0; index--) {
    while (born >= 0 && entries[born]!.counter === free) {
      born--;
      free--;
    }
    ends[index] = Math.max(free, start + 1);
    free--;
  }
  return ends;
}

function unitsOf(delta: Delta): Unit[] {
  const { entries, removed } = delta;
  const ends = endsOf(delta);
  const units: Unit[] = [];
  let next = 0;
  for (const entry of entries) {
    for (; next < removed.length && ends[next]! < entry.counter - 1; next++) {
      units.push({ at: ends[next]!, entry: undefined, removed: [removed[next]!] });
    }
    const with_it: number[] = [];
    for (; next < removed.length && ends[next]! < entry.counter; next++) {
      with_it.push(removed[next]!);
    }
    units.push({ at: entry.counter, entry, removed: with_it });
  }
  for (; next < removed.length; next++) {
    units.push({ at: ends[next]!, entry: undefined, removed: [removed[next]!] });
  }
  return units;
}

const unitBytes = ({ entry, removed }: Unit) =>
  (entry === undefined ? 0 : entryBytes(entry)) + removed.length * COUNTER_BYTES;

/**
 * Splits a delta from `takeDelta` (entries in birth order, `removed` in the order of ending) into deltas that, merged
 * one after the other, have the same effect, and never let an updated member disappear in between. Each stays below
 * `limit_bytes` on the wire, unless one entry alone exceeds it. At least one.
 */
export function splitDelta(delta: Delta, limit_bytes: number): readonly Delta[] {
  const { writer } = delta;
  const limit = limit_bytes - OVERHEAD_BYTES;
  const parts: Delta[] = [];
  let start = delta.start;
  let last = start;
  let bytes = 0;
  let entries: Entry[] = [];
  let removed: number[] = [];
  for (const unit of unitsOf(delta)) {
    const size = unitBytes(unit);
    if (bytes > 0 && bytes + size > limit && unit.at > last) {
      const end = unit.at - 1;
      parts.push({ writer, start, end, entries, removed });
      start = end;
      bytes = 0;
      entries = [];
      removed = [];
    }
    bytes += size;
    last = unit.at;
    if (unit.entry !== undefined) entries.push(unit.entry);
    removed.push(...unit.removed);
  }
  parts.push({ writer, start, end: delta.end, entries, removed });
  return parts;
}
