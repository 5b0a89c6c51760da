/**
 * The links of a replica in memory: which entries are in which room, of which connection and of how many users.
 * Everything is O(1) except for a connection's own entries, which are iterated. Independent of clocks; `state.ts`
 * and `state.ts` decide which entries are held.
 */
import { writerKey } from "./types.ts";
import type { Clocks, Delta, Entry, Writer, WriterKey, WrittenEntry } from "./types.ts";
import {
  absorbGroup,
  continuesGroup,
  copyGroup,
  deltaSize,
  draftOf,
  emptyDraft,
  groupSize,
  seal,
} from "./delta.ts";
import type { DeltaDraft, DeltaGroup } from "./delta.ts";

// The memory layout of a replica: one small record per member, linked into its room and its connection, so that a
// member needs no Map of its own.

/** A held entry and its neighbours. */
export interface Held {
  readonly entry: Entry;
  readonly replica: Replica;
  readonly room: Room;
  /** In the room's list, which has only members of writers that are up. */
  before: Held | undefined;
  after: Held | undefined;
  /** The next entry with the same connection id, of whatever room and writer. */
  sibling: Held | undefined;
}

/** The replica of one writer: exactly its state at counter `clock`. */
export interface Replica {
  readonly writer: Writer;
  readonly key: WriterKey;
  /** All changes up to this counter are merged, and none beyond. */
  clock: number;
  /** False: the writer is down, and its entries are hidden. */
  up: boolean;
  /** By counter, ascending. */
  readonly held: Map<number, Held>;
  /** Deltas after a gap, sorted by start. Bounded; see `state.ts`. */
  pending: Delta[];
  readonly history: Generations;
}

/** A room with members in the replica. */
interface Room {
  readonly tenant_id: string;
  readonly room_id: string;
  /** Entries held, hidden ones too. The room is dropped at 0. */
  held: number;
  first: Held | undefined;
  last: Held | undefined;
  /** Members that are shown: the length of the list. */
  connections: number;
  /** Shown members whose connection has another shown member. */
  moving: number;
  /** Distinct (issuer, user) among them. */
  users: number;
  /** Shown members by issuer and user; only in rooms that are too large to count by iteration. */
  by_user: Map<string, Map<string, number>> | undefined;
}

/** The rooms of one tenant with members in the replica. */
interface Tenant {
  readonly tenant_id: string;
  readonly rooms: Map<string, Room>;
}

/** A replica of presence. Used linearly: after a call, use only the returned one. */
export interface PresenceState {
  /** The writer of this replica's own entries; undefined: it only merges. */
  readonly self: Writer | undefined;
  readonly replicas: Map<WriterKey, Replica>;
  readonly tenants: Map<string, Tenant>;
  /** The first of each connection id's entries. */
  readonly connections: Map<string, Held>;
  /** One string object per issuer, with the number of entries that name it. */
  readonly issuers: Map<string, { readonly issuer: string; held: number }>;
  /** Entries held, hidden ones too. */
  members: number;
  /** The changes of `self` since the last `takeDelta`. */
  readonly draft: DeltaDraft | undefined;
  /** By the counter of an entry in the draft: the earlier entry that it updates. */
  readonly updated: Map<number, number>;
}

/** Online joins and leaves. An update is a leave of the old entry and a join of the new one. */
export interface Changes {
  readonly joins: readonly WrittenEntry[];
  readonly leaves: readonly WrittenEntry[];
}

/**
 * The outcome of a delta. `merged`: it was new. `stale`: everything in it was known (also a heartbeat at the known
 * clock). `gap`: earlier changes are missing; it is pending. `unknown`: its writer was never marked up, or has been
 * forgotten. `refused`: it breaks the rules. Only `merged` changes the visible state.
 */
export type MergeOutcome = "merged" | "stale" | "gap" | "unknown" | "refused";

/** The outcome of a merge. */
export interface MergeResult extends Changes {
  readonly state: PresenceState;
  readonly outcome: MergeOutcome;
  /** Changes of a writer that is down: not online until the writer is up again. */
  readonly hidden: Changes;
  /** Why it was refused: the field and the value. */
  readonly fault?: string;
}

/** The outcome of marking a writer. */
export interface MarkResult extends Changes {
  readonly state: PresenceState;
}

// A bounded history of deltas: one slot per level, each with the newest changes as one delta per writer, as many as
// fit its level. It answers receivers that missed little; others get the whole state.

/** Limits of the slots that replicas keep per writer, in entries plus covered tags. */
export const HISTORY_LEVELS: readonly number[] = [100, 1_000, 10_000];

/** The slots, smallest first; none of them is ever larger than its level. */
export interface Generations {
  readonly levels: readonly number[];
  /** Empty until the first push. */
  slots: DeltaGroup[];
}

/** An empty history. RangeError unless levels ascend. */
export function createGenerations(levels: readonly number[] = HISTORY_LEVELS): Generations {
  if (levels.some((level, index) => !(level > (levels[index - 1] ?? 0)))) {
    throw new RangeError(`levels ${levels.join(", ")} do not grow from above 0`);
  }
  return { levels, slots: [] };
}

const groupOf = (deltas: readonly Delta[]): DeltaGroup =>
  new Map(deltas.map((delta) => [writerKey(delta.writer), draftOf(delta)]));

const nothingSince = (deltas: readonly Delta[]): DeltaGroup =>
  new Map(deltas.map(({ writer, end }) => [writerKey(writer), emptyDraft(writer, end)]));

/** The largest content up to now that fits slot `index`, if its own does not. */
function smallerContent(
  { levels, slots }: Generations,
  index: number,
  deltas: readonly Delta[],
  size: number,
): DeltaGroup {
  const level = levels[index]!;
  for (let smaller = index - 1; smaller >= 0 && size <= levels[smaller]!; smaller--) {
    if (groupSize(slots[smaller]!) <= level) return copyGroup(slots[smaller]!);
  }
  const alone = groupOf(deltas);
  return groupSize(alone) <= level ? alone : nothingSince(deltas);
}

/**
 * Adds deltas, at most one per writer, to every slot that they continue; a slot that would grow
 * beyond its level takes over the next smaller one's content, or the deltas alone, or, when these
 * alone are too large, starts again after them. In O(deltas), spread over many pushes.
 */
export function pushDeltas(generations: Generations, deltas: readonly Delta[]): void {
  const { levels } = generations;
  if (generations.slots.length === 0) generations.slots = levels.map(() => new Map());
  const { slots } = generations;
  const size = deltas.reduce((sum, delta) => sum + deltaSize(delta), 0);
  // Content with these deltas cannot fit a smaller level; this avoids copying them.
  const fits = levels.map((level) => size <= level);
  const grown = slots.map((slot, index) => fits[index]! && absorbGroup(slot, deltas));
  // The largest first: each needs what the smaller ones have grown to.
  for (let index = levels.length - 1; index >= 0; index--) {
    const slot = slots[index]!;
    if (grown[index] && groupSize(slot) > levels[index]!) {
      slots[index] = smallerContent(generations, index, deltas, size);
    } else if (!fits[index] && continuesGroup(slot, deltas)) {
      slots[index] = nothingSince(deltas);
    }
  }
}

/**
 * The changes after these clocks: from the smallest slot that begins at or before them and goes beyond, restricted to
 * the known writers. Undefined: no slot does.
 */
export function deltasSince(generations: Generations, known: Clocks): Delta[] | undefined {
  for (const slot of generations.slots) {
    const shared = [...slot].filter(([key]) => known.has(key));
    const covered = shared.every(([key, { start }]) => start <= known.get(key)!);
    const brings = shared.some(([key, { end }]) => end > known.get(key)!);
    if (covered && brings) return shared.map(([, draft]) => seal(draft));
  }
}

/** Above this many members, users are counted in a Map, which would cost a small room too much. */
const WALKED_MAX = 8;

function tenantOf({ tenants }: PresenceState, tenant_id: string): Tenant {
  let tenant = tenants.get(tenant_id);
  if (tenant === undefined) tenants.set(tenant_id, tenant = { tenant_id, rooms: new Map() });
  return tenant;
}

/** The room, if it has any held member. */
export function findRoom(
  { tenants }: PresenceState,
  tenant_id: string,
  room_id: string,
): Room | undefined {
  return tenants.get(tenant_id)?.rooms.get(room_id);
}

function roomOf(state: PresenceState, entry: Entry): Room {
  const { tenant_id, rooms } = tenantOf(state, entry.tenant_id);
  let room = rooms.get(entry.room_id);
  if (room === undefined) {
    const { room_id } = entry;
    room = {
      tenant_id,
      room_id,
      held: 0,
      first: undefined,
      last: undefined,
      connections: 0,
      moving: 0,
      users: 0,
      by_user: undefined,
    };
    rooms.set(room_id, room);
  }
  return room;
}

const isSameUser = (one: Entry, other: Entry) =>
  one.user_id === other.user_id && one.issuer === other.issuer;

/** Adds to the number of the user's members in a large room; returns the new number. */
function addToUser(by_user: Map<string, Map<string, number>>, entry: Entry, added: number): number {
  const { issuer, user_id } = entry;
  let users = by_user.get(issuer);
  if (users === undefined) by_user.set(issuer, users = new Map());
  const count = (users.get(user_id) ?? 0) + added;
  if (count > 0) users.set(user_id, count);
  else users.delete(user_id);
  if (users.size === 0) by_user.delete(issuer);
  return count;
}

function isUserListed(room: Room, entry: Entry): boolean {
  for (let held = room.first; held !== undefined; held = held.after) {
    if (isSameUser(held.entry, entry)) return true;
  }
  return false;
}

function countByUser(room: Room): Map<string, Map<string, number>> {
  const by_user = new Map<string, Map<string, number>>();
  for (let held = room.first; held !== undefined; held = held.after) {
    addToUser(by_user, held.entry, 1);
  }
  return by_user;
}

/** Whether the connection is online in this room through another writer, too: it is moving between Shields. */
function isElsewhere({ connections }: PresenceState, { entry, replica, room }: Held): boolean {
  let other = connections.get(entry.connection_id);
  for (; other !== undefined; other = other.sibling) {
    if (other.room === room && other.replica !== replica && other.replica.up) return true;
  }
  return false;
}

/** Appends a held entry to its room's list: it is online from now on. */
export function show(state: PresenceState, held: Held): void {
  const { room, entry } = held;
  if (isElsewhere(state, held)) room.moving++;
  if (room.connections === WALKED_MAX) room.by_user = countByUser(room);
  const is_new = room.by_user === undefined
    ? !isUserListed(room, entry)
    : addToUser(room.by_user, entry, 1) === 1;
  if (is_new) room.users++;
  held.before = room.last;
  if (room.last === undefined) room.first = held;
  else room.last.after = held;
  room.last = held;
  room.connections++;
}

/** Removes a held entry from its room's list: it is hidden. */
export function hide(state: PresenceState, held: Held): void {
  const { room, entry, before, after } = held;
  if (isElsewhere(state, held)) room.moving--;
  if (before === undefined) room.first = after;
  else before.after = after;
  if (after === undefined) room.last = before;
  else after.before = before;
  held.before = held.after = undefined;
  room.connections--;
  const is_gone = room.by_user === undefined
    ? !isUserListed(room, entry)
    : addToUser(room.by_user, entry, -1) === 0;
  if (is_gone) room.users--;
  // Half, so that a room at the threshold does not build and drop its Map with every change.
  if (room.connections === WALKED_MAX / 2) room.by_user = undefined;
}

/** The entry with strings that are already in memory, where possible. */
function interned(state: PresenceState, room: Room, entry: Entry): Entry {
  const { issuer } = entry;
  let named = state.issuers.get(issuer);
  if (named === undefined) state.issuers.set(issuer, named = { issuer, held: 0 });
  named.held++;
  const sibling = state.connections.get(entry.connection_id)?.entry;
  const of_user = sibling?.user_id === entry.user_id ? sibling : entry;
  return {
    counter: entry.counter,
    tenant_id: room.tenant_id,
    room_id: room.room_id,
    connection_id: sibling?.connection_id ?? entry.connection_id,
    user_id: of_user.user_id,
    issuer: named.issuer,
    meta: sibling?.meta === entry.meta ? sibling.meta : entry.meta,
    joined_ms: entry.joined_ms,
    changed_ms: entry.changed_ms,
  };
}

/** Holds an entry of a replica; it is online if the replica is up. Its counter must be the replica's highest. */
export function hold(state: PresenceState, replica: Replica, entry: Entry): Held {
  const room = roomOf(state, entry);
  const held: Held = {
    entry: interned(state, room, entry),
    replica,
    room,
    before: undefined,
    after: undefined,
    sibling: state.connections.get(entry.connection_id),
  };
  room.held++;
  state.members++;
  state.connections.set(held.entry.connection_id, held);
  replica.held.set(entry.counter, held);
  if (replica.up) show(state, held);
  return held;
}

function unlinkSibling({ connections }: PresenceState, gone: Held): void {
  const { connection_id } = gone.entry;
  let held = connections.get(connection_id);
  if (held === gone) {
    if (gone.sibling === undefined) connections.delete(connection_id);
    else connections.set(connection_id, gone.sibling);
    return;
  }
  while (held !== undefined && held.sibling !== gone) held = held.sibling;
  if (held !== undefined) held.sibling = gone.sibling;
}

/** Releases an entry. */
export function drop(state: PresenceState, held: Held): void {
  const { replica, room, entry } = held;
  if (replica.up) hide(state, held);
  replica.held.delete(entry.counter);
  unlinkSibling(state, held);
  const named = state.issuers.get(entry.issuer);
  if (named !== undefined && --named.held === 0) state.issuers.delete(entry.issuer);
  state.members--;
  room.held--;
  if (room.held > 0) return;
  const tenant = state.tenants.get(room.tenant_id);
  tenant?.rooms.delete(room.room_id);
  if (tenant?.rooms.size === 0) state.tenants.delete(room.tenant_id);
}

/** A writer's entry of a connection in a room. */
export function findHeld(
  { connections }: PresenceState,
  replica: Replica,
  { tenant_id, room_id, connection_id }: Pick<Entry, "tenant_id" | "room_id" | "connection_id">,
): Held | undefined {
  for (let held = connections.get(connection_id); held !== undefined; held = held.sibling) {
    const { room } = held;
    if (
      held.replica === replica && room.room_id === room_id && room.tenant_id === tenant_id
    ) return held;
  }
}
