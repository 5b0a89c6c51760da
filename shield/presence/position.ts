/**
 * The position of a room's table in the owner's messages, and the handling of the next update or snapshot: apply it,
 * skip it, or request a snapshot. Plain data and functions. `tables.ts` requests.
 */
import type { Emitter, RoomUpdate } from "../../shared/presence/messages.ts";
import type { WriterClock, WriterKey, WrittenEntry } from "../../shared/presence/types.ts";
import { writerKey } from "../../shared/presence/types.ts";
import { addForeign, type MemberTable, removeForeign, replaceForeign } from "./table.ts";

/** The most updates that are kept while an earlier one is missing; beyond that a snapshot is needed. */
const AHEAD_MAX = 256;

/** The position of one table. */
export interface Position {
  /** The last emitter. Undefined: none yet, and the table is unknown. */
  emitter: Emitter | undefined;
  sequence: number;
  readonly seen: Map<WriterKey, number>;
  /** Updates that wait for those before them, at most `AHEAD_MAX`. */
  ahead: RoomUpdate[];
  /** The time since which snapshots are refused because their Brain has seen less than the table, in Unix ms. */
  behind_since_ms: number | undefined;
}

/** A snapshot: all pages of an answer joined. */
export interface Snapshot {
  readonly emitter: Emitter;
  readonly sequence: number;
  readonly entries: readonly WrittenEntry[];
  readonly clocks: readonly WriterClock[];
}

/** The initial position. */
export function createPosition(): Position {
  return {
    emitter: undefined,
    sequence: 0,
    seen: new Map(),
    ahead: [],
    behind_since_ms: undefined,
  };
}

/** Whether both are the same term of the same incarnation of a Brain. */
export function isSameEmitter(one: Emitter | undefined, other: Emitter | undefined): boolean {
  return one?.brain_id === other?.brain_id && one?.boot === other?.boot &&
    one?.term === other?.term;
}

/**
 * Whether `emitter` is an earlier term of the same incarnation of a Brain: then its messages are stale. Of two
 * incarnations the later one is unknown, since a clock may have been set back in between.
 */
function isPast(emitter: Emitter, now: Emitter | undefined): boolean {
  return now !== undefined && emitter.brain_id === now.brain_id && emitter.boot === now.boot &&
    emitter.term < now.term;
}

function raise(position: Position, clocks: readonly WriterClock[]): void {
  for (const { writer, clock } of clocks) {
    const key = writerKey(writer);
    if (clock > (position.seen.get(key) ?? 0)) position.seen.set(key, clock);
  }
}

function apply(position: Position, table: MemberTable, update: RoomUpdate, node_id: string): void {
  // A Shield has newer data about its own connections than any Brain.
  for (const tag of update.leaves) if (tag.writer.node_id !== node_id) removeForeign(table, tag);
  for (const join of update.joins) if (join.writer.node_id !== node_id) addForeign(table, join);
  raise(position, update.clocks);
  position.sequence = update.sequence;
}

/** Applies the next updates in order; returns whether none is left. */
function catchUp(position: Position, table: MemberTable, node_id: string): boolean {
  position.ahead.sort((a, b) => a.sequence - b.sequence);
  const waiting: RoomUpdate[] = [];
  for (const update of position.ahead) {
    if (!isSameEmitter(update.emitter, position.emitter)) waiting.push(update);
    else if (update.sequence === position.sequence + 1) apply(position, table, update, node_id);
    else if (update.sequence > position.sequence) waiting.push(update);
  }
  position.ahead = waiting;
  return waiting.length === 0;
}

/**
 * The outcome of an update. `applied`: the table has changed. `known`: the table had it already. `gap`: an earlier one
 * is missing, or another emitter sent it; a snapshot is needed, and the update waits for it.
 */
type UpdateOutcome = "applied" | "known" | "gap";

/** Takes the next update of the room. `node_id` is this Shield's: its own members are unchanged. */
export function takeUpdate(
  position: Position,
  table: MemberTable,
  update: RoomUpdate,
  node_id: string,
): UpdateOutcome {
  if (isPast(update.emitter, position.emitter)) return "known";
  if (isSameEmitter(update.emitter, position.emitter)) {
    if (update.sequence <= position.sequence) return "known";
    if (update.sequence === position.sequence + 1) {
      apply(position, table, update, node_id);
      return catchUp(position, table, node_id) ? "applied" : "gap";
    }
  }
  position.ahead.push(update);
  if (position.ahead.length > AHEAD_MAX) position.ahead.shift();
  return "gap";
}

/**
 * The outcome of a snapshot. `applied`: the table equals the snapshot with later updates. `gap`: the same, but an
 * update is still missing. `outdated`: the table is ahead with the same emitter. `behind`: the Brain has seen less of
 * some writer than the table, and using it would restore members that left.
 */
export type SnapshotOutcome = "applied" | "gap" | "outdated" | "behind";

/** The inputs of judging a snapshot. */
export interface SnapshotRules {
  readonly node_id: string;
  /** Unix ms. */
  readonly now_ms: number;
  /**
   * How long a Brain may be behind, in ms. After that it is trusted: what it lacks was lost with the writer and the
   * Brain that had it.
   */
  readonly patience_ms: number;
  /** Whether a Brain reports this writer as dropped, or replaced by a younger incarnation. */
  readonly isOver: (writer: WriterKey) => boolean;
}

/**
 * Whether the table has seen more of some writer than the snapshot. A writer with members here that is missing in the
 * snapshot has left only if a Brain reports that: a Brain that has just started, or could not receive the writer, does
 * not know it yet.
 */
function isBehind(
  { seen }: Position,
  table: MemberTable,
  clocks: readonly WriterClock[],
  { node_id, isOver }: SnapshotRules,
): boolean {
  const listed = new Set<WriterKey>();
  for (const { writer, clock } of clocks) {
    const key = writerKey(writer);
    listed.add(key);
    if (writer.node_id !== node_id && clock < (seen.get(key) ?? 0)) return true;
  }
  for (const key of table.foreign.keys()) if (!listed.has(key) && !isOver(key)) return true;
  return false;
}

/** Takes a complete snapshot. */
export function takeSnapshot(
  position: Position,
  table: MemberTable,
  snapshot: Snapshot,
  rules: SnapshotRules,
): SnapshotOutcome {
  const { node_id, now_ms, patience_ms } = rules;
  const { emitter, sequence, entries, clocks } = snapshot;
  const is_same = isSameEmitter(emitter, position.emitter);
  if (isPast(emitter, position.emitter)) return "outdated";
  if (is_same && sequence < position.sequence) return "outdated";
  if (isBehind(position, table, clocks, rules)) {
    position.behind_since_ms ??= now_ms;
    if (now_ms - position.behind_since_ms < patience_ms) return "behind";
  }
  replaceForeign(table, entries.filter(({ writer }) => writer.node_id !== node_id));
  position.emitter = emitter;
  position.sequence = sequence;
  position.behind_since_ms = undefined;
  position.seen.clear();
  raise(position, clocks);
  // This answer includes earlier messages of another emitter, or a check will find them.
  position.ahead = position.ahead.filter((update) => isSameEmitter(update.emitter, emitter));
  return catchUp(position, table, node_id) ? "applied" : "gap";
}
