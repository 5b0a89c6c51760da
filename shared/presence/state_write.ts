/**
 * A replica's own changes: joins, updates and leaves of its connections, each with its next counter, collected in one
 * delta until it is taken. Changes of others are not handled here.
 */
import { type DeltaDraft, emptyDelta, seal } from "./delta.ts";
import { pushDeltas } from "./generations.ts";
import type { Held, PresenceState, Replica } from "./state_data.ts";
import { drop, findHeld, hold } from "./state_index.ts";
import { type Delta, type Entry, type MemberInput, writerKey } from "./types.ts";

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
): { state: PresenceState; entry: Entry } {
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
  return { state, entry: addEntry(state, own, { ...fields, ...stamps }) };
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
): { state: PresenceState; entry: Entry; previous: Entry } | undefined {
  const own = ownOf(state);
  const held = findHeld(state, own.replica, { tenant_id, room_id, connection_id });
  if (held === undefined) return undefined;
  const previous = held.entry;
  const counter = count(own, 2);
  noteUpdate(state, own, previous.counter, counter);
  removeEntry(state, own, held);
  const entry = addEntry(state, own, { ...previous, counter, meta, changed_ms: now_ms });
  return { state, entry, previous };
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
): { state: PresenceState; entry: Entry } | undefined {
  const own = ownOf(state);
  const held = findHeld(state, own.replica, { tenant_id, room_id, connection_id });
  if (held === undefined) return undefined;
  count(own, 1);
  removeEntry(state, own, held);
  return { state, entry: held.entry };
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
  pushDeltas(replica.history, [delta]);
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
