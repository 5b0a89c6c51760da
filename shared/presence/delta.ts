/**
 * Operations on deltas: validation, size, and joining adjacent ones. Pure; `state.ts` merges a delta into a
 * replica, `delta_split.ts` splits large ones.
 */
import { type Delta, type Entry, type Writer, type WriterKey, writerKey } from "./types.ts";

/** A mutable delta. `removed` has only counters up to `start`: the range implies the rest. */
export interface DeltaDraft {
  readonly writer: Writer;
  start: number;
  end: number;
  entries: Map<number, Entry>;
  removed: Set<number>;
}

/** Deltas of several writers, at most one of each. */
export type DeltaGroup = Map<WriterKey, DeltaDraft>;

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

/** A draft with the same content, sharing no mutable state. */
export function draftOf({ writer, start, end, entries, removed }: Delta): DeltaDraft {
  return {
    writer,
    start,
    end,
    entries: new Map(entries.map((entry) => [entry.counter, entry])),
    removed: new Set(removed.filter((counter) => counter <= start)),
  };
}

function copyDraft(draft: DeltaDraft): DeltaDraft {
  return { ...draft, entries: new Map(draft.entries), removed: new Set(draft.removed) };
}

/** `deltaSize` of a draft. */
export function draftSize({ start, end, entries, removed }: DeltaDraft): number {
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

/** Whether the ranges overlap or touch, so that there is no gap between them. */
function isContiguous(
  one: Pick<Delta, "start" | "end">,
  other: Pick<Delta, "start" | "end">,
): boolean {
  return one.start <= other.end && other.start <= one.end;
}

/** Drops entries of the draft that the delta, in the common range, no longer has. */
function dropDead(draft: DeltaDraft, delta: Delta): void {
  const from = Math.max(draft.start, delta.start);
  const to = Math.min(draft.end, delta.end);
  if (from >= to) return;
  const alive = new Set(delta.entries.map(({ counter }) => counter));
  const dead = (counter: number) => counter > from && counter <= to && !alive.has(counter);
  if (to - from < draft.entries.size) {
    for (let counter = from + 1; counter <= to; counter++) {
      if (dead(counter)) draft.entries.delete(counter);
    }
  } else {
    for (const counter of draft.entries.keys()) {
      if (dead(counter)) draft.entries.delete(counter);
    }
  }
}

/**
 * Joins two deltas of one writer: an entry stays unless a side that covers its birth no longer has it. In O(the delta).
 * False if there is a gap between them; then nothing changes.
 */
function absorb(draft: DeltaDraft, delta: Delta): boolean {
  if (!isContiguous(draft, delta)) return false;
  dropDead(draft, delta);
  const knows = (counter: number) =>
    counter > draft.start && counter <= draft.end || draft.removed.has(counter);
  for (const entry of delta.entries) {
    if (!knows(entry.counter)) draft.entries.set(entry.counter, entry);
  }
  if (delta.start < draft.start) {
    draft.start = delta.start;
    for (const counter of draft.removed) {
      if (counter > draft.start) draft.removed.delete(counter);
    }
  }
  draft.end = Math.max(draft.end, delta.end);
  for (const counter of delta.removed) {
    draft.entries.delete(counter);
    if (counter <= draft.start) draft.removed.add(counter);
  }
  return true;
}

/** Whether every delta continues its writer's delta in the group; a new writer does. */
export function continuesGroup(group: DeltaGroup, deltas: readonly Delta[]): boolean {
  return deltas.every((delta) => {
    const draft = group.get(writerKey(delta.writer));
    return draft === undefined || isContiguous(draft, delta);
  });
}

/** Absorbs deltas of several writers: all of them, or none (false) if one does not continue. */
export function absorbGroup(group: DeltaGroup, deltas: readonly Delta[]): boolean {
  if (!continuesGroup(group, deltas)) return false;
  for (const delta of deltas) {
    const key = writerKey(delta.writer);
    const draft = group.get(key);
    if (draft === undefined) group.set(key, draftOf(delta));
    else absorb(draft, delta);
  }
  return true;
}

/** A copy of a group. */
export function copyGroup(group: DeltaGroup): DeltaGroup {
  return new Map([...group].map(([key, draft]) => [key, copyDraft(draft)]));
}

/** Entries plus covered tags of all writers. */
export function groupSize(group: DeltaGroup): number {
  let size = 0;
  for (const draft of group.values()) size += draftSize(draft);
  return size;
}
