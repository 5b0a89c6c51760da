/**
 * Operations on deltas: validation, size, and a writer's recent ones, which answer "changes since clock c" for
 * receivers that missed little. Pure; `state.ts` merges a delta into a replica, `pages.ts` splits large ones.
 */
import type { Delta, Entry, Writer } from "./types.ts";

/** A mutable delta. `removed` has only counters up to `start`: the range implies the rest. */
export interface DeltaDraft {
  readonly writer: Writer;
  start: number;
  end: number;
  entries: Map<number, Entry>;
  removed: Set<number>;
}

/** The entries in birth order: the same array if it is already sorted. */
export function inBirthOrder(entries: readonly Entry[]): readonly Entry[] {
  for (let index = 1; index < entries.length; index++) {
    if (entries[index - 1]!.counter > entries[index]!.counter) {
      return [...entries].sort((a, b) => a.counter - b.counter);
    }
  }
  return entries;
}

const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;

function rangeFault({ writer, start, end }: Delta): string | undefined {
  if (!isCount(writer.incarnation)) return `writer.incarnation is ${writer.incarnation}`;
  if (!isCount(start)) return `start is ${start}; expected a safe integer of 0 or more`;
  if (!isCount(end)) return `end is ${end}; expected a safe integer of 0 or more`;
  if (start > end) return `start is ${start}, after end ${end}`;
}

function entriesFault(delta: Delta, entries: readonly Entry[]): string | undefined {
  let last = delta.start;
  for (const { counter, joined_ms, changed_ms } of entries) {
    if (!isCount(counter) || counter <= delta.start || counter > delta.end) {
      return `counter of an entry is ${counter}; expected one in (${delta.start}, ${delta.end}]`;
    }
    if (counter === last) return `two entries with counter ${counter}`;
    if (!isCount(joined_ms)) return `joined_ms of entry ${counter} is ${joined_ms}`;
    if (!isCount(changed_ms)) return `changed_ms of entry ${counter} is ${changed_ms}`;
    last = counter;
  }
}

function removedFault({ removed, end }: Delta, entries: readonly Entry[]): string | undefined {
  if (removed.length === 0) return;
  const seen = new Set<number>();
  for (const { counter } of entries) seen.add(counter);
  for (const counter of removed) {
    if (!isCount(counter) || counter === 0 || counter > end) {
      return `removed has ${counter}; expected 1 to ${end}`;
    }
    if (seen.has(counter)) return `removed has ${counter}, which is named twice`;
    seen.add(counter);
  }
}

/** A connection has one tenant, and is in a room once. */
function connectionsFault(entries: readonly Entry[]): string | undefined {
  if (entries.length < 2) return;
  const known = new Map<string, Entry | Set<string>>();
  const tenants = new Map<string, string>();
  for (const entry of entries) {
    const { connection_id, tenant_id, room_id } = entry;
    const before = known.get(connection_id);
    if (before === undefined) {
      known.set(connection_id, entry);
      continue;
    }
    const rooms = before instanceof Set ? before : new Set([before.room_id]);
    if (!(before instanceof Set)) {
      known.set(connection_id, rooms);
      tenants.set(connection_id, before.tenant_id);
    }
    if (tenants.get(connection_id) !== tenant_id) return `${connection_id} is of two tenants`;
    if (rooms.has(room_id)) return `${connection_id} is in room ${room_id} twice`;
    rooms.add(room_id);
  }
}

/** The fault of a delta, with the field and the value; undefined if it is valid. */
export function deltaFault(delta: Delta): string | undefined {
  const entries = inBirthOrder(delta.entries);
  return rangeFault(delta) ?? entriesFault(delta, entries) ?? removedFault(delta, entries) ??
    connectionsFault(entries);
}

/** Entries plus covered tags: what levels of history and limits count. */
export function deltaSize(delta: Delta): number {
  const { start, end, entries, removed } = delta;
  const before = removed.reduce((sum, counter) => counter <= start ? sum + 1 : sum, 0);
  return entries.length + end - start + before;
}

/** An empty delta at `clock`: a heartbeat. */
export function emptyDelta(writer: Writer, clock: number): Delta {
  return { writer, start: clock, end: clock, entries: [], removed: [] };
}

/** A draft that begins at `clock`. */
export function emptyDraft(writer: Writer, clock: number): DeltaDraft {
  return { writer, start: clock, end: clock, entries: new Map(), removed: new Set() };
}

/** `deltaSize` of a draft. */
function draftSize({ start, end, entries, removed }: DeltaDraft): number {
  return entries.size + end - start + removed.size;
}

/** A delta of the draft's present content; the draft may continue. */
export function seal({ writer, start, end, entries, removed }: DeltaDraft): Delta {
  return {
    writer,
    start,
    end,
    entries: inBirthOrder([...entries.values()]),
    removed: [...removed].sort((a, b) => a - b),
  };
}

/** The limit of a history, in entries plus covered tags. */
export const HISTORY_SIZE_MAX = 10_000;
/** From this size on, further deltas begin a new chunk: the most that an answer brings beyond what was missed. */
const CHUNK_SIZE = 100;

/** A writer's newest changes without a gap, as many as fit, oldest first; its entries are those that still exist. */
export type History = DeltaDraft[];

/** Adds the delta that continues the history. In O(the delta and the chunks, about a hundred). */
export function pushDelta(history: History, { writer, start, end, entries, removed }: Delta): void {
  let newest = history.at(-1);
  if (newest === undefined || draftSize(newest) >= CHUNK_SIZE) {
    history.push(newest = emptyDraft(writer, start));
  }
  for (const entry of entries) newest.entries.set(entry.counter, entry);
  for (const counter of removed) {
    history.findLast((chunk) => chunk.start < counter)?.entries.delete(counter);
    if (counter <= newest.start) newest.removed.add(counter);
  }
  newest.end = end;
  let size = history.reduce((sum, chunk) => sum + draftSize(chunk), 0);
  while (size > HISTORY_SIZE_MAX) size -= draftSize(history.shift()!);
}

/** The changes after `clock`, and at most a chunk's before it; undefined: the history does not reach back that far. */
export function deltasSince(history: History, clock: number): Delta | undefined {
  const from = history.findLastIndex(({ start }) => start <= clock);
  if (from < 0) return undefined;
  const { writer, start } = history[from]!;
  const joined = emptyDraft(writer, start);
  for (const { end, entries, removed } of history.slice(from)) {
    joined.end = end;
    for (const entry of entries.values()) joined.entries.set(entry.counter, entry);
    for (const counter of removed) if (counter <= start) joined.removed.add(counter);
  }
  return seal(joined);
}
