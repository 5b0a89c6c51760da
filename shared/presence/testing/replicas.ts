/**
 * For tests of the presence set: replicas by name, members in one line each, and the exchange of full states between
 * replicas that both write and merge, as in the scenarios.
 */
import { seal } from "../delta.ts";
import {
  allClocks,
  clockOf,
  createState,
  entriesOf,
  join,
  markUp,
  mergeFull,
  ofConnection,
  online,
} from "../state.ts";
import type { Changes, MergeResult, PresenceState } from "../state.ts";
import type { Delta, Entry, MemberInput, Writer, WrittenEntry } from "../types.ts";
import { writerKey } from "../types.ts";

/** The tenant of all members here. */
export const TENANT = "acme";
/** Default time, Unix ms. */
export const NOW = 1_767_323_045_000;

/** A life of a node; by default the first. */
export const writer = (node_id: string, incarnation = 1): Writer => ({ node_id, incarnation });

/** A connection of a user (by default of the same name) in a room. */
export function member(
  connection_id: string,
  room_id = "lobby",
  { user_id = connection_id, issuer = "idp", meta = "", tenant_id = TENANT } = {},
): MemberInput {
  return { tenant_id, room_id, connection_id, user_id, issuer, meta };
}

/** An entry as a writer could announce it. */
export function entry(counter: number, connection_id: string, room_id = "lobby"): Entry {
  return { ...member(connection_id, room_id), counter, joined_ms: NOW, changed_ms: NOW };
}

/** A delta as it could arrive from anywhere. */
export function delta(
  from: Writer,
  start: number,
  end: number,
  entries: readonly Entry[] = [],
  removed: readonly number[] = [],
): Delta {
  return { writer: from, start, end, entries, removed };
}

/** Writing replicas of these names, each of which has marked the others up. */
export function connected(...names: string[]): PresenceState[] {
  const states = names.map((name) => createState(writer(name)));
  for (const state of states) {
    for (const name of names) if (name !== state.self?.node_id) markUp(state, writer(name));
  }
  return states;
}

/** A connection of that name joins the room. */
export function enter(state: PresenceState, connection_id: string, room_id = "lobby"): Entry {
  return join(state, member(connection_id, room_id), NOW);
}

/** The complete state of `from`, writer by writer: of the writers that `to` knows, except itself. */
export function fullDeltas(from: PresenceState, to: PresenceState): Delta[] {
  const own = to.self && writerKey(to.self);
  return allClocks(from).filter(({ writer }) =>
    clockOf(to, writer) !== undefined && writerKey(writer) !== own
  ).map(({ writer, clock }) => delta(writer, 0, clock, [...entriesOf(from, writer)]));
}

/** Merges the complete state of `from` into `to`, writer by writer. */
export function mergeState(to: PresenceState, from: PresenceState): MergeResult[] {
  return fullDeltas(from, to).map((full) => mergeFull(to, full));
}

/** The changes of a replica since the last `takeDelta`, which it would return. */
export function drafted({ draft }: PresenceState): Delta {
  return { ...seal(draft!), removed: [...draft!.removed] };
}

/** The pending deltas of a writer. */
export function pendingDeltas({ replicas }: PresenceState, from: Writer): readonly Delta[] {
  return replicas.get(writerKey(from))?.pending ?? [];
}

/** Joined and left connections, sorted. */
export function namesOf(...changes: Changes[]): { joins: string[]; leaves: string[] } {
  const names = (entries: readonly WrittenEntry[]) =>
    entries.map(({ entry: { connection_id } }) => connection_id);
  return {
    joins: changes.flatMap(({ joins }) => names(joins)).sort(),
    leaves: changes.flatMap(({ leaves }) => names(leaves)).sort(),
  };
}

/** A tag as one string. */
export const tagOf = ({ writer: { node_id, incarnation }, entry: { counter } }: WrittenEntry) =>
  `${node_id}@${incarnation}:${counter}`;

/** Who is online in a room, sorted. */
export function listed(state: PresenceState, room_id = "lobby"): string[] {
  return [...online(state, TENANT, room_id)].map(({ entry: { connection_id } }) => connection_id)
    .sort();
}

/** A connection's rows in the owner index: tag and room, sorted. */
export function rows(state: PresenceState, connection_id: string): string[] {
  return [...ofConnection(state, connection_id)].map((held) =>
    `${tagOf(held)} ${held.entry.room_id}`
  ).sort();
}

/** The covered tags of a delta, sorted: its range and the earlier entries that it ends. */
export function covered({ start, end, removed }: Delta): number[] {
  const tags = new Set(removed);
  for (let counter = start + 1; counter <= end; counter++) tags.add(counter);
  return [...tags].sort((a, b) => a - b);
}
