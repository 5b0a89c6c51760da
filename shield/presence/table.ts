/**
 * The members of one room, as one Shield knows them: its own connections from itself, all others from the room's owner;
 * and the changes since clients were last notified. Plain data and functions.
 * `watched_room.ts` decides which clients are notified, and when.
 */
import type { PresentMember } from "@arqon/proto";
import { writerKey } from "../../shared/presence/types.ts";
import type {
  Entry,
  Tag,
  Writer,
  WriterClock,
  WriterKey,
  WrittenEntry,
} from "../../shared/presence/types.ts";
import type { Emitter, RoomUpdate } from "../../shared/presence/messages.ts";

/** A member as clients see it, with the issuer of its user. Immutable. */
export interface TableMember extends PresentMember {
  readonly issuer: string;
}

/** One room's members. */
export interface MemberTable {
  /** Connections of this Shield, by id. */
  readonly own: Map<string, TableMember>;
  /** Members of other Shields by birth mark: writer, then counter. */
  readonly foreign: Map<WriterKey, Map<number, TableMember>>;
  /** The members that clients see, by connection id, in the order of joining. */
  readonly shown: Map<string, TableMember>;
  /** Other members with the id of a shown one, which moves between Shields: usually none. */
  readonly hidden: Map<string, TableMember[]>;
  /** The number of connections of each user, by issuer and user. */
  readonly users: Map<string, number>;
  /** The last notified state of connections that have changed since; undefined: absent. */
  readonly reported: Map<string, TableMember | undefined>;
}

/** Changes for clients. A connection is in at most one of the two lists. */
export interface TableChanges {
  readonly updates: readonly PresentMember[];
  readonly leaves: readonly PresentMember[];
}

/** An empty table without changes. */
export function createTable(): MemberTable {
  return {
    own: new Map(),
    foreign: new Map(),
    shown: new Map(),
    hidden: new Map(),
    users: new Map(),
    reported: new Map(),
  };
}

function memberOf({ connection_id, user_id, issuer, meta, joined_ms }: Entry): TableMember {
  return { connection_id, user_id, issuer, meta, joined_ms };
}

/** The key of a user: issuer and subject, as a subject has no line break. */
function userKey({ issuer, user_id }: TableMember): string {
  return `${issuer}\n${user_id}`;
}

function countUser(table: MemberTable, member: TableMember, by: 1 | -1): void {
  const key = userKey(member);
  const count = (table.users.get(key) ?? 0) + by;
  if (count > 0) table.users.set(key, count);
  else table.users.delete(key);
}

function show(table: MemberTable, connection_id: string, member: TableMember | undefined): void {
  const before = table.shown.get(connection_id);
  if (!table.reported.has(connection_id)) table.reported.set(connection_id, before);
  if (before !== undefined) countUser(table, before, -1);
  if (member === undefined) {
    table.shown.delete(connection_id);
  } else {
    countUser(table, member, 1);
    table.shown.set(connection_id, member);
  }
}

/** Shows a new member in place of the one with the same connection id, which is still known. */
function cover(table: MemberTable, connection_id: string, member: TableMember): void {
  const before = table.shown.get(connection_id);
  if (before !== undefined) table.hidden.getOrInsert(connection_id, []).push(before);
  show(table, connection_id, member);
}

/** Shows another member with the same connection id in place of one that is gone. */
function uncover(table: MemberTable, connection_id: string): void {
  const [next, ...others] = table.hidden.get(connection_id) ?? [];
  setHidden(table, connection_id, others);
  show(table, connection_id, next);
}

function setHidden(table: MemberTable, connection_id: string, members: TableMember[]): void {
  if (members.length > 0) table.hidden.set(connection_id, members);
  else table.hidden.delete(connection_id);
}

/** Adds a connection of this Shield, or changes its metadata. */
export function setOwn(table: MemberTable, entry: Entry): void {
  const { connection_id } = entry;
  const member = memberOf(entry);
  if (table.own.has(connection_id)) show(table, connection_id, member);
  else cover(table, connection_id, member);
  table.own.set(connection_id, member);
}

/** Removes a connection of this Shield; an absent one is ignored. */
export function removeOwn(table: MemberTable, connection_id: string): void {
  if (table.own.delete(connection_id)) uncover(table, connection_id);
}

/** Adds a member of another Shield; an existing one is unchanged. */
export function addForeign(table: MemberTable, { writer, entry }: WrittenEntry): void {
  const key = writerKey(writer);
  let members = table.foreign.get(key);
  if (members === undefined) table.foreign.set(key, members = new Map());
  if (members.has(entry.counter)) return;
  const member = memberOf(entry);
  members.set(entry.counter, member);
  const { connection_id } = entry;
  if (!table.own.has(connection_id)) cover(table, connection_id, member);
  else table.hidden.getOrInsert(connection_id, []).push(member);
}

/** Removes a member of another Shield; an absent one is ignored. */
export function removeForeign(table: MemberTable, { writer, counter }: Tag): void {
  removeMarked(table, writerKey(writer), counter);
}

function removeMarked(table: MemberTable, key: WriterKey, counter: number): void {
  const members = table.foreign.get(key);
  const member = members?.get(counter);
  if (members === undefined || member === undefined) return;
  members.delete(counter);
  if (members.size === 0) table.foreign.delete(key);
  const { connection_id } = member;
  if (table.shown.get(connection_id) === member) return uncover(table, connection_id);
  const others = table.hidden.get(connection_id)?.filter((one) => one !== member);
  setHidden(table, connection_id, others ?? []);
}

/** Replaces all members of other Shields by `entries`; remaining ones are unchanged. */
export function replaceForeign(table: MemberTable, entries: readonly WrittenEntry[]): void {
  const marks = new Map<WriterKey, Set<number>>();
  let last: Writer | undefined, counters = new Set<number>();
  for (const { writer, entry } of entries) {
    if (writer !== last) {
      const key = writerKey(writer);
      counters = marks.get(key) ?? new Set();
      marks.set(key, counters);
      last = writer;
    }
    counters.add(entry.counter);
  }
  for (const [key, members] of [...table.foreign]) {
    const kept = marks.get(key);
    for (const counter of [...members.keys()]) {
      if (kept?.has(counter) !== true) removeMarked(table, key, counter);
    }
  }
  for (const entry of entries) addForeign(table, entry);
}

function isSame(before: TableMember, after: TableMember): boolean {
  return before.meta === after.meta && before.joined_ms === after.joined_ms &&
    before.user_id === after.user_id && before.issuer === after.issuer;
}

/**
 * The changes since the last call; undefined: none. A member that came and left in between is not included, nor is one
 * that left and returned unchanged.
 */
export function takeChanges(table: MemberTable): TableChanges | undefined {
  const updates: PresentMember[] = [], leaves: PresentMember[] = [];
  for (const [connection_id, before] of table.reported) {
    const after = table.shown.get(connection_id);
    if (after === undefined) {
      if (before !== undefined) leaves.push(before);
    } else if (before === undefined || !isSame(before, after)) {
      updates.push(after);
    }
  }
  table.reported.clear();
  return updates.length + leaves.length === 0 ? undefined : { updates, leaves };
}

/** The members as clients were last notified, without what `takeChanges` would return now. */
export function reportedMembers(table: MemberTable): TableMember[] {
  const members: TableMember[] = [];
  for (const [connection_id, member] of table.shown) {
    const known = table.reported.has(connection_id) ? table.reported.get(connection_id) : member;
    if (known !== undefined) members.push(known);
  }
  for (const [connection_id, before] of table.reported) {
    if (before !== undefined && !table.shown.has(connection_id)) members.push(before);
  }
  return members;
}

/** The number of distinct users among members. */
export function countUsers(members: readonly TableMember[]): number {
  return new Set(members.map(userKey)).size;
}

/** The most updates that are kept while an earlier one is missing; beyond that a snapshot is needed. */
const AHEAD_MAX = 256;

interface Position {
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
interface SnapshotRules {
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
