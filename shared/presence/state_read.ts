/**
 * Queries of a replica: online members, clocks, the changes that a receiver is missing. Changes nothing. Iterables read
 * the replica as they go: use them up before the next change.
 */
import { emptyDelta, seal } from "./delta.ts";
import { deltasSince } from "./generations.ts";
import type { PresenceState, Replica } from "./state_data.ts";
import { findHeld, findRoom } from "./state_index.ts";
import type { Delta, Entry, Writer, WriterClock, WrittenEntry } from "./types.ts";
import { writerKey } from "./types.ts";

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
  const delta = deltasSince(replica.history, new Map([[key, clock]]))?.[0];
  return delta ? { full: false, delta } : { full: true, delta: fullDelta(replica) };
}
