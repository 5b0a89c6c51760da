/**
 * What is queued to be published of one room. Somebody who came and went meanwhile is not reported. Pure
 * data.
 */
import { writerKey } from "../../shared/presence/types.ts";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import type { RoomDelta } from "./room_changes.ts";

/** The joins and leaves that wait, by birth mark. */
export interface Pending {
  readonly joins: Map<string, WrittenEntry>;
  readonly leaves: Map<string, WrittenEntry>;
}

/** One thing to tell: a join, a leave, or both when a connection's entry is replaced. */
export interface Step {
  readonly leave: WrittenEntry | undefined;
  readonly join: WrittenEntry | undefined;
}

/** Nothing that waits. */
export function createPending(): Pending {
  return { joins: new Map(), leaves: new Map() };
}

function tagKey({ writer, entry }: WrittenEntry): string {
  return `${writerKey(writer)}/${entry.counter}`;
}

/** Adds changes behind those that wait. A join and a leave of one birth mark cancel out. */
export function addPending({ joins, leaves }: Pending, change: RoomDelta): void {
  for (const gone of change.leaves) {
    const key = tagKey(gone);
    if (!joins.delete(key)) leaves.set(key, gone);
  }
  for (const come of change.joins) {
    const key = tagKey(come);
    // Its Shield was down and is up again: nobody has learned that it left.
    if (!leaves.delete(key)) joins.set(key, come);
  }
}

/**
 * Puts the leave and the join of one connection together, so that a cut between two messages never
 * makes it look away.
 */
export function pairs(
  joins: readonly WrittenEntry[],
  leaves: readonly WrittenEntry[],
): readonly Step[] {
  if (leaves.length === 0) return joins.map((join) => ({ leave: undefined, join }));
  const gone = new Map(leaves.map((leave) => [leave.entry.connection_id, leave]));
  const paired = new Set<WrittenEntry>();
  const steps = joins.map((join): Step => {
    const leave = gone.get(join.entry.connection_id);
    if (leave === undefined || paired.has(leave)) return { leave: undefined, join };
    paired.add(leave);
    return { leave, join };
  });
  for (const leave of leaves) {
    if (!paired.has(leave)) steps.push({ leave, join: undefined });
  }
  return steps;
}
