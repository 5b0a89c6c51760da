/**
 * The memory layout of a presence replica, and its links: which entries are in which room, of which connection and of
 * how many users. One small record per member, linked into its room and its connection, so that a member needs no Map
 * of its own. Everything is O(1): a room's users and a connection's entries are found by iteration while they are few,
 * and in a Map above. Independent of clocks: `state.ts` decides which entries are held.
 */
import type { DeltaDraft, History } from "./delta.ts";
import type { Delta, Entry, Writer, WriterKey, WrittenEntry } from "./types.ts";

/** A held entry and its neighbours. */
export interface Held {
  readonly entry: Entry;
  readonly replica: Replica;
  readonly room: Room;
  /** In the room's list, which has only members of writers that are up. */
  before: Held | undefined;
  after: Held | undefined;
  /** The entry before it with the same connection id, of whatever room and writer, and the one after it. */
  sibling: Held | undefined;
  younger: Held | undefined;
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
  /** Deltas after a gap, sorted by start. Bounded. */
  pending: Delta[];
  /** Up to `clock`, or, of the replica's own writer, to the last `takeDelta`. */
  readonly history: History;
}

/** A room with members in the replica. */
export interface Room {
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
export interface Tenant {
  readonly tenant_id: string;
  readonly rooms: Map<string, Room>;
}

/** A replica of presence. */
export interface PresenceState {
  /** The writer of this replica's own entries; undefined: it only merges. */
  readonly self: Writer | undefined;
  readonly replicas: Map<WriterKey, Replica>;
  readonly tenants: Map<string, Tenant>;
  /** The newest of each connection id's entries. */
  readonly connections: Map<string, Held>;
  /** The entries of each connection id by room, one of each writer; only of those that have too many to iterate. */
  readonly crowds: Map<string, Map<Room, Held[]>>;
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

/** Above this many, a room's users and a connection's entries are in a Map, which would cost small ones too much. */
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

/** The entries of a connection that may be in this room: all of them, or those that are. */
function* near(
  { connections, crowds }: PresenceState,
  connection_id: string,
  room: Room,
): Generator<Held> {
  const crowd = crowds.get(connection_id);
  if (crowd !== undefined) return yield* crowd.get(room) ?? [];
  for (let held = connections.get(connection_id); held !== undefined; held = held.sibling) {
    yield held;
  }
}

/** Whether the connection is online in this room through another writer, too: it is moving between Shields. */
function isElsewhere(state: PresenceState, { entry, replica, room }: Held): boolean {
  for (const other of near(state, entry.connection_id, room)) {
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
    younger: undefined,
  };
  room.held++;
  state.members++;
  linkSibling(state, held);
  replica.held.set(entry.counter, held);
  if (replica.up) show(state, held);
  return held;
}

/** Links an entry to the others of its connection. */
function linkSibling({ connections, crowds }: PresenceState, held: Held): void {
  const { entry: { connection_id }, sibling, room } = held;
  connections.set(connection_id, held);
  if (sibling !== undefined) sibling.younger = held;
  const crowd = crowds.get(connection_id);
  if (crowd !== undefined) return void crowd.getOrInsert(room, []).push(held);
  let many = 0;
  for (let one: Held | undefined = held; one !== undefined; one = one.sibling) many++;
  if (many <= WALKED_MAX) return;
  const by_room = new Map<Room, Held[]>();
  for (let one: Held | undefined = held; one !== undefined; one = one.sibling) {
    by_room.getOrInsert(one.room, []).push(one);
  }
  crowds.set(connection_id, by_room);
}

function unlinkSibling({ connections, crowds }: PresenceState, gone: Held): void {
  const { entry: { connection_id }, sibling, younger, room } = gone;
  if (sibling !== undefined) sibling.younger = younger;
  if (younger !== undefined) younger.sibling = sibling;
  else if (sibling !== undefined) connections.set(connection_id, sibling);
  else connections.delete(connection_id);
  const crowd = crowds.get(connection_id);
  if (crowd === undefined) return;
  const others = crowd.get(room)!.filter((one) => one !== gone);
  if (others.length > 0) crowd.set(room, others);
  else crowd.delete(room);
  // Half, as in a room.
  if (crowd.size <= WALKED_MAX / 2) crowds.delete(connection_id);
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
  state: PresenceState,
  replica: Replica,
  { tenant_id, room_id, connection_id }: Pick<Entry, "tenant_id" | "room_id" | "connection_id">,
): Held | undefined {
  const room = findRoom(state, tenant_id, room_id);
  if (room === undefined) return undefined;
  for (const held of near(state, connection_id, room)) {
    if (held.replica === replica && held.room === room) return held;
  }
}
