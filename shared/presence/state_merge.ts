/**
 * Applies others' changes to a replica. A replica has each writer's exact state at one counter, so a delta either
 * continues it (and is merged), or brings nothing new (stale), or leaves a gap (and is pending). Merging chooses the
 * longest prefix, so the order does not matter.
 */
import { deltaFault, deltaSize, inBirthOrder } from "./delta.ts";
import { HISTORY_LEVELS, pushDeltas } from "./generations.ts";
import type { Changes, Held, MergeResult, PresenceState, Replica } from "./state_data.ts";
import { drop, findHeld, hold } from "./state_index.ts";
import { type Delta, type Entry, type WriterKey, writerKey, type WrittenEntry } from "./types.ts";

/** Deltas of one writer that wait for a gap to be filled; further ones are dropped. */
export const PENDING_DELTAS_MAX = 64;
/** Limit of their entries plus covered tags together. */
const PENDING_SIZE_MAX = HISTORY_LEVELS.at(-1)!;

const NONE: Changes = { joins: [], leaves: [] };

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

/** A connection has one tenant as long as its writer lives. */
function tenantFault(
  { connections }: PresenceState,
  replica: Replica,
  born: readonly Entry[],
  dead: ReadonlySet<Held>,
): string | undefined {
  for (const { connection_id, tenant_id } of born) {
    for (let held = connections.get(connection_id); held !== undefined; held = held.sibling) {
      if (held.replica !== replica || held.entry.tenant_id === tenant_id) continue;
      if (!dead.has(held)) return `${connection_id} is of tenant ${held.entry.tenant_id}`;
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
  pushDeltas(replica.history, [{ writer, start: clock, end: delta.end, entries: kept, removed }]);
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

function ownKey({ self }: PresenceState): WriterKey | undefined {
  return self && writerKey(self);
}

/**
 * Merges a writer's changes. It must have been marked up before; while it is down its changes are hidden. A fault
 * refuses the whole delta. O(delta), and O(the writer's held entries) when the delta begins long before the known
 * clock.
 */
export function merge(state: PresenceState, delta: Delta): MergeResult {
  const nothing = { state, ...NONE, hidden: NONE };
  const key = writerKey(delta.writer);
  const fault = key === ownKey(state) ? `${key} is this replica itself` : deltaFault(delta);
  if (fault !== undefined) return { ...nothing, outcome: "refused", fault };
  const replica = state.replicas.get(key);
  if (replica === undefined) return { ...nothing, outcome: "unknown" };
  if (delta.end <= replica.clock) return { ...nothing, outcome: "stale" };
  if (delta.start > replica.clock) {
    keepPending(replica, delta);
    return { ...nothing, outcome: "gap" };
  }
  const tally: Tally = { joins: new Map(), leaves: [] };
  const refusal = advance(state, replica, delta, tally);
  if (refusal !== undefined) return { ...nothing, outcome: "refused", fault: refusal };
  advancePending(state, replica, tally);
  const changes: Changes = {
    joins: [...tally.joins.values()].map(written),
    leaves: tally.leaves.map(written),
  };
  return replica.up
    ? { state, outcome: "merged", ...changes, hidden: NONE }
    : { state, outcome: "merged", ...NONE, hidden: changes };
}

/** Merges a writer's complete state as of `end`; `start` must be 0. Otherwise as `merge`. */
export function mergeFull(state: PresenceState, delta: Delta): MergeResult {
  if (delta.start === 0) return merge(state, delta);
  const fault = `start is ${delta.start}; expected 0 of a full state`;
  return { state, ...NONE, hidden: NONE, outcome: "refused", fault };
}
