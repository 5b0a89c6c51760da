/**
 * Splits large payloads into pages. Sizes are upper bounds of the encoding of `wire.ts`, computed from an entry's
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
