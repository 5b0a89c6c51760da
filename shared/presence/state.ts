/**
 * The presence set: add-wins, observed-remove, one writer per replica (after Phoenix.Tracker). Pure and without a
 * clock: `liveness.ts` tracks liveness, `shield` and `brain` exchange messages. A call changes the state in place, at
 * the cost of the change and not of the state.
 *
 * A replica has each writer's exact state at one counter, so a delta either continues it (and is merged), or brings
 * nothing new (stale), or leaves a gap (and is pending). Merging chooses the longest prefix, so the order does not
 * matter. Its own changes, each with its next counter, are collected in one delta until it is taken.
 */
import {
  type DeltaDraft,
  deltaFault,
  deltaSize,
  deltasSince,
  emptyDelta,
  emptyDraft,
  HISTORY_SIZE_MAX,
  inBirthOrder,
  pushDelta,
  seal,
} from "./delta.ts";
import { drop, findHeld, findRoom, hide, hold, show } from "./state_index.ts";
import type { Changes, Held, PresenceState, Replica } from "./state_index.ts";
import type { Delta, Entry, MemberInput, Writer, WriterClock } from "./types.ts";
import { writerKey, type WrittenEntry } from "./types.ts";

export type { Changes, PresenceState } from "./state_index.ts";

/** Deltas of one writer that wait for a gap to be filled; further ones are dropped. */
export const PENDING_DELTAS_MAX = 64;
/** Limit of their entries plus covered tags together. */
const PENDING_SIZE_MAX = HISTORY_SIZE_MAX;

/**
 * The outcome of a delta. `merged`: it was new. `stale`: everything in it was known (also a heartbeat at the known
 * clock). `gap`: earlier changes are missing; it is pending. `unknown`: its writer was never marked up, or has been
 * forgotten. `refused`: it breaks the rules. Only `merged` changes the visible state.
 */
export type MergeOutcome = "merged" | "stale" | "gap" | "unknown" | "refused";

/** The outcome of a merge; of a writer that is down, its changes are not in it. */
export interface MergeResult extends Changes {
  readonly outcome: MergeOutcome;
  /** Why it was refused: the field and the value. */
  readonly fault?: string;
}

const NONE: Changes = { joins: [], leaves: [] };

function newReplica(writer: Writer): Replica {
  return {
    writer,
    key: writerKey(writer),
    clock: 0,
    up: true,
    held: new Map(),
    pending: [],
    history: [],
  };
}

/** An empty replica that writes as `self`, or, without it, only merges others' changes. */
export function createState(self?: Writer): PresenceState {
  const state: PresenceState = {
    self,
    replicas: new Map(),
    tenants: new Map(),
    connections: new Map(),
    crowds: new Map(),
    issuers: new Map(),
    members: 0,
    draft: self && emptyDraft(self, 0),
    updated: new Map(),
  };
  if (self !== undefined) state.replicas.set(writerKey(self), newReplica(self));
  return state;
}

function foreign({ self, replicas }: PresenceState, writer: Writer): Replica | undefined {
  const key = writerKey(writer);
  if (self !== undefined && writerKey(self) === key) {
    throw new TypeError(`${key} is this replica itself: always up`);
  }
  return replicas.get(key);
}

function members(replica: Replica): WrittenEntry[] {
  const { writer, held } = replica;
  return Array.from(held.values(), ({ entry }) => ({ writer, entry }));
}

/**
 * Marks a writer as up: its changes are merged from now on, and its entries are online again. An unknown or forgotten
 * one begins at 0. TypeError for the replica's own writer.
 */
export function markUp(state: PresenceState, writer: Writer): Changes {
  const replica = foreign(state, writer);
  if (replica === undefined) {
    const added = newReplica(writer);
    state.replicas.set(added.key, added);
  }
  if (replica === undefined || replica.up) return NONE;
  replica.up = true;
  for (const held of replica.held.values()) show(state, held);
  return { joins: members(replica), leaves: [] };
}

/** Marks a writer as down: its members are offline but kept. TypeError for the replica's own writer. */
export function markDown(state: PresenceState, writer: Writer): Changes {
  const replica = foreign(state, writer);
  if (replica === undefined || !replica.up) return NONE;
  for (const held of replica.held.values()) hide(state, held);
  replica.up = false;
  return { joins: [], leaves: members(replica) };
}

/**
 * Forgets a writer: its members, clock and history are dropped, so that it is no longer replicated from here. TypeError
 * for the replica's own writer.
 */
export function forget(state: PresenceState, writer: Writer): Changes {
  const replica = foreign(state, writer);
  if (replica === undefined) return NONE;
  const leaves = replica.up ? members(replica) : [];
  for (const held of replica.held.values()) drop(state, held);
  state.replicas.delete(replica.key);
  return { joins: [], leaves };
}

/** The clock up to which the writer's changes are merged; undefined: the writer is unknown. */
export function clockOf({ replicas }: PresenceState, writer: Writer): number | undefined {
  return replicas.get(writerKey(writer))?.clock;
}

const clockLine = ({ writer, clock }: Replica): WriterClock => ({ writer, clock });

/** The clocks of all writers, including those that are down. */
export function allClocks({ replicas }: PresenceState): WriterClock[] {
  return [...replicas.values()].map(clockLine);
}

/** The members of a room whose writer is up; those of one writer in the order of their birth. */
export function* online(
  state: PresenceState,
  tenant_id: string,
  room_id: string,
): Generator<WrittenEntry> {
  let held = findRoom(state, tenant_id, room_id)?.first;
  for (; held !== undefined; held = held.after) {
    yield { writer: held.replica.writer, entry: held.entry };
  }
}

/**
 * The number of connections in a room (one that moves between Shields counts once), and of users (issuer and subject).
 * O(1).
 */
export function countOnline(
  state: PresenceState,
  tenant_id: string,
  room_id: string,
): { connections: number; users: number } {
  const room = findRoom(state, tenant_id, room_id);
  if (room === undefined) return { connections: 0, users: 0 };
  return { connections: room.connections - room.moving, users: room.users };
}

/** The rooms with online members. */
export function* onlineRooms(
  { tenants }: PresenceState,
): Generator<{ tenant_id: string; room_id: string }> {
  for (const { tenant_id, rooms } of tenants.values()) {
    for (const { room_id, connections } of rooms.values()) {
      if (connections > 0) yield { tenant_id, room_id };
    }
  }
}

/** Members held in memory, including those of writers that are down; limits apply to this number. O(1). */
export function memberCount({ members }: PresenceState): number {
  return members;
}

/** All entries of a writer, up or down, in the order of their birth. */
export function* entriesOf({ replicas }: PresenceState, writer: Writer): Generator<Entry> {
  const replica = replicas.get(writerKey(writer));
  if (replica === undefined) return;
  for (const { entry } of replica.held.values()) yield entry;
}

/** All entries of a connection id, newest first, including those of writers that are down. */
export function* ofConnection(
  { connections }: PresenceState,
  connection_id: string,
): Generator<WrittenEntry> {
  for (let held = connections.get(connection_id); held !== undefined; held = held.sibling) {
    yield { writer: held.replica.writer, entry: held.entry };
  }
}

/** A writer's entry of a connection in a room, up or down. */
export function entryOf(
  state: PresenceState,
  writer: Writer,
  member: Pick<Entry, "tenant_id" | "room_id" | "connection_id">,
): Entry | undefined {
  const replica = state.replicas.get(writerKey(writer));
  return replica && findHeld(state, replica, member)?.entry;
}

function fullDelta({ writer, clock, held }: Replica): Delta {
  const entries = Array.from(held.values(), ({ entry }) => entry);
  return { writer, start: 0, end: clock, entries, removed: [] };
}

/**
 * A writer's changes after `clock`: from the history if it reaches back that far (the delta may begin earlier), else
 * the complete state. Empty when there are none. Undefined: the writer is unknown.
 */
export function deltaSince(
  state: PresenceState,
  writer: Writer,
  clock: number,
): { full: boolean; delta: Delta } | undefined {
  const key = writerKey(writer);
  const replica = state.replicas.get(key);
  if (replica === undefined) return undefined;
  if (clock >= replica.clock) return { full: false, delta: emptyDelta(writer, replica.clock) };
  const { draft } = state;
  if (draft !== undefined && draft.start <= clock && writerKey(draft.writer) === key) {
    return { full: false, delta: seal(draft) };
  }
  const delta = deltasSince(replica.history, clock);
  return delta ? { full: false, delta } : { full: true, delta: fullDelta(replica) };
}

interface Own {
  readonly replica: Replica;
  readonly draft: DeltaDraft;
}

function ownOf({ self, replicas, draft }: PresenceState): Own {
  const replica = self && replicas.get(writerKey(self));
  if (replica === undefined || draft === undefined) {
    throw new TypeError("a replica without a writer of its own cannot write");
  }
  return { replica, draft };
}

/** Advances the own counter. RangeError where numbers are no longer exact. */
function count({ replica, draft }: Own, steps: number): number {
  const clock = replica.clock + steps;
  if (!Number.isSafeInteger(clock)) throw new RangeError(`counter ${clock} is not exact`);
  replica.clock = draft.end = clock;
  return clock;
}

function addEntry(state: PresenceState, { replica, draft }: Own, entry: Entry): Entry {
  const held = hold(state, replica, entry);
  draft.entries.set(entry.counter, held.entry);
  return held.entry;
}

function removeEntry(state: PresenceState, { draft }: Own, held: Held): void {
  const { counter } = held.entry;
  drop(state, held);
  state.updated.delete(counter);
  if (counter > draft.start) draft.entries.delete(counter);
  else draft.removed.add(counter);
}

/**
 * Records which entry from before the draft an update ends. With each further update it moves to the end of `removed`:
 * `splitDelta` must not remove it before the newest entry.
 */
function noteUpdate({ updated }: PresenceState, { draft }: Own, from: number, to: number): void {
  const before = from > draft.start ? updated.get(from) : from;
  if (before === undefined) return;
  draft.removed.delete(before);
  draft.removed.add(before);
  updated.set(to, before);
}

/**
 * A connection joins a room, at `now_ms`; a writer that announces its former members again passes the original time of
 * the join. TypeError when it has already joined, when it belongs to another tenant, or without a writer of its own.
 */
export function join(
  state: PresenceState,
  member: MemberInput,
  now_ms: number,
  joined_ms = now_ms,
): Entry {
  const own = ownOf(state);
  const { tenant_id, room_id, connection_id, user_id, issuer, meta } = member;
  if (findHeld(state, own.replica, member) !== undefined) {
    throw new TypeError(`${connection_id} is in room ${room_id} of ${tenant_id} already`);
  }
  const [sibling] = ownHeld(state, own.replica, connection_id);
  if (sibling !== undefined && sibling.entry.tenant_id !== tenant_id) {
    throw new TypeError(`${connection_id} is of tenant ${sibling.entry.tenant_id}`);
  }
  const stamps = { counter: count(own, 1), joined_ms, changed_ms: now_ms };
  const fields = { tenant_id, room_id, connection_id, user_id, issuer, meta };
  return addEntry(state, own, { ...fields, ...stamps });
}

/**
 * A member's metadata changes, at `now_ms`: the old entry ends and a new one begins, in one delta. Undefined: there is
 * no such member, and nothing changed. TypeError without a writer of its own.
 */
export function update(
  state: PresenceState,
  tenant_id: string,
  room_id: string,
  connection_id: string,
  meta: string,
  now_ms: number,
): Entry | undefined {
  const own = ownOf(state);
  const held = findHeld(state, own.replica, { tenant_id, room_id, connection_id });
  if (held === undefined) return undefined;
  const previous = held.entry;
  const counter = count(own, 2);
  noteUpdate(state, own, previous.counter, counter);
  removeEntry(state, own, held);
  return addEntry(state, own, { ...previous, counter, meta, changed_ms: now_ms });
}

/**
 * A connection leaves a room. Undefined: there is no such member, and nothing changed. TypeError without a writer of
 * its own.
 */
export function leave(
  state: PresenceState,
  tenant_id: string,
  room_id: string,
  connection_id: string,
): Entry | undefined {
  const own = ownOf(state);
  const held = findHeld(state, own.replica, { tenant_id, room_id, connection_id });
  if (held === undefined) return undefined;
  count(own, 1);
  removeEntry(state, own, held);
  return held.entry;
}

function* ownHeld(
  { connections }: PresenceState,
  replica: Replica,
  connection_id: string,
): Generator<Held> {
  for (let held = connections.get(connection_id); held !== undefined; held = held.sibling) {
    if (held.replica === replica) yield held;
  }
}

/** The draft with `removed` in the order of the ends, as `splitDelta` needs it. */
function inOrder(draft: DeltaDraft): Delta {
  return { ...seal(draft), removed: [...draft.removed] };
}

/**
 * The replica's own changes since the last call; undefined: none. They are in the history from then on, and a new delta
 * begins. TypeError without a writer of its own.
 */
export function takeDelta(state: PresenceState): Delta | undefined {
  const { replica, draft } = ownOf(state);
  if (draft.start === draft.end) return undefined;
  const delta = inOrder(draft);
  pushDelta(replica.history, delta);
  draft.start = draft.end;
  draft.entries = new Map();
  draft.removed = new Set();
  state.updated.clear();
  return delta;
}

/** An empty delta at the counter of the last `takeDelta`: the heartbeat. */
export function heartbeatDelta(state: PresenceState): Delta {
  const { replica, draft } = ownOf(state);
  return emptyDelta(replica.writer, draft.start);
}

/** The changes of a merge so far; an entry that joined and left meanwhile is in neither list. */
interface Tally {
  readonly joins: Map<number, Held>;
  readonly leaves: Held[];
}

function deadOf(replica: Replica, delta: Delta, entries: readonly Entry[]): Set<Held> {
  const { clock, held } = replica;
  const dead = new Set<Held>();
  const bury = (counter: number) => {
    const gone = held.get(counter);
    if (gone !== undefined) dead.add(gone);
  };
  for (const counter of delta.removed) bury(counter);
  const seen_again = clock - delta.start;
  if (seen_again === 0) return dead;
  const alive = new Set<number>();
  for (const { counter } of entries) if (counter <= clock) alive.add(counter);
  if (seen_again < held.size) {
    for (let counter = delta.start + 1; counter <= clock; counter++) {
      if (!alive.has(counter)) bury(counter);
    }
  } else {
    for (const counter of held.keys()) {
      if (counter > delta.start && !alive.has(counter)) bury(counter);
    }
  }
  return dead;
}

/** A connection has one tenant as long as its writer lives, so one entry that stays tells it. */
function tenantFault(
  { connections }: PresenceState,
  replica: Replica,
  born: readonly Entry[],
  dead: ReadonlySet<Held>,
): string | undefined {
  const checked = new Set<string>();
  for (const { connection_id, tenant_id } of born) {
    if (checked.has(connection_id)) continue;
    checked.add(connection_id);
    let held = connections.get(connection_id);
    while (held !== undefined && (held.replica !== replica || dead.has(held))) held = held.sibling;
    if (held !== undefined && held.entry.tenant_id !== tenant_id) {
      return `${connection_id} is of tenant ${held.entry.tenant_id}`;
    }
  }
}

/** Merges a delta that continues the replica's clock; after a fault nothing has changed. */
function advance(
  state: PresenceState,
  replica: Replica,
  delta: Delta,
  tally: Tally,
): string | undefined {
  const { writer, clock } = replica;
  const entries = inBirthOrder(delta.entries);
  const dead = deadOf(replica, delta, entries);
  const born = entries.filter(({ counter }) => counter > clock);
  const fault = tenantFault(state, replica, born, dead);
  if (fault !== undefined) return fault;
  // An update may be in another piece of a delta than the removal that it replaces.
  for (const entry of born) {
    const replaced = findHeld(state, replica, entry);
    if (replaced !== undefined) dead.add(replaced);
  }
  for (const gone of dead) {
    drop(state, gone);
    if (!tally.joins.delete(gone.entry.counter)) tally.leaves.push(gone);
  }
  const kept = born.map((entry) => {
    const held = hold(state, replica, entry);
    tally.joins.set(entry.counter, held);
    return held.entry;
  });
  replica.clock = delta.end;
  const removed = [...dead].map(({ entry }) => entry.counter);
  pushDelta(replica.history, { writer, start: clock, end: delta.end, entries: kept, removed });
  return undefined;
}

/** Merges pending deltas that now continue. A faulty one is dropped, and pulled again. */
function advancePending(state: PresenceState, replica: Replica, tally: Tally): void {
  const { pending } = replica;
  while (pending.length > 0 && pending[0]!.start <= replica.clock) {
    const delta = pending.shift()!;
    if (delta.end > replica.clock) advance(state, replica, delta, tally);
  }
}

function keepPending({ pending }: Replica, delta: Delta): void {
  if (pending.some(({ start, end }) => start === delta.start && end === delta.end)) return;
  const size = pending.reduce((sum, waiting) => sum + deltaSize(waiting), deltaSize(delta));
  if (pending.length >= PENDING_DELTAS_MAX || size > PENDING_SIZE_MAX) return;
  const at = pending.findIndex(({ start }) => start > delta.start);
  pending.splice(at < 0 ? pending.length : at, 0, delta);
}

function written({ entry, replica }: Held): WrittenEntry {
  return { writer: replica.writer, entry };
}

/**
 * Merges a writer's changes. It must have been marked up before; while it is down its changes are hidden. A fault
 * refuses the whole delta. O(delta), and O(the writer's held entries) when the delta begins long before the known
 * clock.
 */
export function merge(state: PresenceState, delta: Delta): MergeResult {
  const key = writerKey(delta.writer);
  const fault = state.self && key === writerKey(state.self)
    ? `${key} is this replica itself`
    : deltaFault(delta);
  if (fault !== undefined) return { ...NONE, outcome: "refused", fault };
  const replica = state.replicas.get(key);
  if (replica === undefined) return { ...NONE, outcome: "unknown" };
  if (delta.end <= replica.clock) return { ...NONE, outcome: "stale" };
  if (delta.start > replica.clock) {
    keepPending(replica, delta);
    return { ...NONE, outcome: "gap" };
  }
  const tally: Tally = { joins: new Map(), leaves: [] };
  const refusal = advance(state, replica, delta, tally);
  if (refusal !== undefined) return { ...NONE, outcome: "refused", fault: refusal };
  advancePending(state, replica, tally);
  if (!replica.up) return { ...NONE, outcome: "merged" };
  return {
    joins: [...tally.joins.values()].map(written),
    leaves: tally.leaves.map(written),
    outcome: "merged",
  };
}

/** Merges a writer's complete state as of `end`; `start` must be 0. Otherwise as `merge`. */
export function mergeFull(state: PresenceState, delta: Delta): MergeResult {
  if (delta.start === 0) return merge(state, delta);
  const fault = `start is ${delta.start}; expected 0 of a full state`;
  return { ...NONE, outcome: "refused", fault };
}
