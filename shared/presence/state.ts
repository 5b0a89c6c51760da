/**
 * The presence set: add-wins, observed-remove, one writer per replica (after Phoenix.Tracker). This file creates
 * replicas and marks writers; the other `state_*` files have the rest. Pure and without a clock: `liveness.ts` tracks
 * liveness, `shield` and `brain` exchange messages.
 *
 * A state is used linearly: a call changes it in place, at the cost of the change and not of the state, and returns it;
 * the argument must no longer be used.
 */
import { emptyDraft } from "./delta.ts";
import { createGenerations } from "./generations.ts";
import type { MarkResult, PresenceState, Replica } from "./state_data.ts";
import { drop, hide, show } from "./state_index.ts";
import { type Writer, writerKey, type WrittenEntry } from "./types.ts";

export type {
  Changes,
  MarkResult,
  MergeOutcome,
  MergeResult,
  PresenceState,
} from "./state_data.ts";
export { merge, mergeFull } from "./state_merge.ts";
export * from "./state_read.ts";
export { heartbeatDelta, join, leave, takeDelta, update } from "./state_write.ts";

function newReplica(writer: Writer): Replica {
  return {
    writer,
    key: writerKey(writer),
    clock: 0,
    up: true,
    held: new Map(),
    pending: [],
    history: createGenerations(),
  };
}

/** An empty replica that writes as `self`, or, without it, only merges others' changes. */
export function createState(self?: Writer): PresenceState {
  const state: PresenceState = {
    self,
    replicas: new Map(),
    tenants: new Map(),
    connections: new Map(),
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
export function markUp(state: PresenceState, writer: Writer): MarkResult {
  const replica = foreign(state, writer);
  if (replica === undefined) {
    const added = newReplica(writer);
    state.replicas.set(added.key, added);
  }
  if (replica === undefined || replica.up) return { state, joins: [], leaves: [] };
  replica.up = true;
  for (const held of replica.held.values()) show(state, held);
  return { state, joins: members(replica), leaves: [] };
}

/** Marks a writer as down: its members are offline but kept. TypeError for the replica's own writer. */
export function markDown(state: PresenceState, writer: Writer): MarkResult {
  const replica = foreign(state, writer);
  if (replica === undefined || !replica.up) return { state, joins: [], leaves: [] };
  for (const held of replica.held.values()) hide(state, held);
  replica.up = false;
  return { state, joins: [], leaves: members(replica) };
}

/**
 * Forgets a writer: its members, clock and history are dropped, so that it is no longer replicated from here. TypeError
 * for the replica's own writer.
 */
export function forget(state: PresenceState, writer: Writer): MarkResult {
  const replica = foreign(state, writer);
  if (replica === undefined) return { state, joins: [], leaves: [] };
  const leaves = replica.up ? members(replica) : [];
  for (const held of replica.held.values()) drop(state, held);
  state.replicas.delete(replica.key);
  return { state, joins: [], leaves };
}
