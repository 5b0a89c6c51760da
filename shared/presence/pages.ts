/**
 * Splits large payloads: a snapshot into pages that count only together, a writer's batch of changes into deltas that
 * each continue the previous one. Sizes are upper bounds of the encoding of `wire.ts`, computed from an entry's
 * strings; nothing is encoded here.
 */
import { utf8Size } from "@arqon/proto";
import type { Delta, Entry, Writer } from "./types.ts";

/** Target size of a message on `sys.presence.>` and `sys.cluster.>`; a Spine's limit may be lower. */
export const MESSAGE_BYTES = 524_288;

/** Tags, lengths and numbers of an entry: 9 fields, four of them 64-bit numbers. */
const ENTRY_OVERHEAD_BYTES = 64;
/** Tag, length and number of a birth mark, and the overhead of writer and entry. */
const TAG_OVERHEAD_BYTES = 24;
/** A 64-bit number in a packed field. */
const COUNTER_BYTES = 10;
/** Overhead of a delta beside its entries. */
const DELTA_OVERHEAD_BYTES = 128;

/** Upper bound of the bytes of an entry. */
export function entryBytes(entry: Entry): number {
  return ENTRY_OVERHEAD_BYTES + entry.tenant_id.length + entry.room_id.length +
    entry.connection_id.length + utf8Size(entry.user_id) + utf8Size(entry.issuer) +
    utf8Size(entry.meta);
}

/** Upper bound of the bytes of a birth mark, or of a `WrittenEntry` beyond its entry. */
export function tagBytes(writer: Writer): number {
  return TAG_OVERHEAD_BYTES + writer.node_id.length;
}

/**
 * Splits a list so that the bytes of each part stay below `limit_bytes`; a larger item gets its own part. Always at
 * least one part, which may be empty.
 */
export function cutPages<Item>(
  items: readonly Item[],
  sizeOf: (item: Item) => number,
  limit_bytes: number,
): readonly (readonly Item[])[] {
  const pages: (readonly Item[])[] = [];
  let start = 0;
  let bytes = 0;
  for (let index = 0; index < items.length; index++) {
    const size = sizeOf(items[index]!);
    if (bytes + size > limit_bytes && index > start) {
      pages.push(items.slice(start, index));
      start = index;
      bytes = 0;
    }
    bytes += size;
  }
  pages.push(start === 0 ? items : items.slice(start));
  return pages;
}

/**
 * Splits a delta into pages of one snapshot: all have its writer, start and end, each a part of its entries and removed
 * counters. The pages are valid only together (`joinPages`).
 */
export function deltaPages(delta: Delta, limit_bytes: number): readonly Delta[] {
  const { writer, start, end } = delta;
  const room = limit_bytes - DELTA_OVERHEAD_BYTES - writer.node_id.length;
  let bytes = delta.removed.length * COUNTER_BYTES;
  for (const entry of delta.entries) bytes += entryBytes(entry);
  if (bytes <= room) return [delta];
  const entries = cutPages(delta.entries, entryBytes, room)
    .map((part): Delta => ({ writer, start, end, entries: part, removed: [] }));
  const removed = cutPages(delta.removed, () => COUNTER_BYTES, room)
    .map((part): Delta => ({ writer, start, end, entries: [], removed: part }));
  if (delta.entries.length === 0) return removed;
  return delta.removed.length === 0 ? entries : [...entries, ...removed];
}

/** The original delta; undefined unless all pages have one writer, start and end. */
export function joinPages(pages: readonly Delta[]): Delta | undefined {
  const [first] = pages;
  if (first === undefined) return undefined;
  if (pages.length === 1) return first;
  const { writer, start, end } = first;
  const matches = pages.every((page) =>
    page.start === start && page.end === end && page.writer.node_id === writer.node_id &&
    page.writer.incarnation === writer.incarnation
  );
  if (!matches) return undefined;
  return {
    writer,
    start,
    end,
    entries: pages.flatMap((page) => page.entries),
    removed: pages.flatMap((page) => page.removed),
  };
}

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
