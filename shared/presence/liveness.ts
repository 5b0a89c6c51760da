/**
 * The liveness of writers, by their last message: up, down after a short silence, forgotten after a long one. A table
 * of nodes and pure rules; `state.ts` applies transitions to members.
 *
 * Only the youngest life of a node counts. A forgotten life leaves a tombstone, so that late messages, or a process
 * that resumes after hours, cannot revive it.
 */
import { BoundedMap } from "../containers/bounded_map.ts";
import type { Writer } from "./types.ts";

/** The timeouts, all in ms. */
export interface LivenessOptions {
  /** The normal interval between messages of a writer. */
  readonly heartbeat_ms: number;
  readonly down_ms: number;
  /** A writer that is silent for this long is forgotten. */
  readonly forget_ms: number;
  /** Lifetime of a tombstone. */
  readonly tombstone_ms: number;
  /** The most tombstones; the oldest are dropped first. */
  readonly tombstones_max: number;
}

/** One node's youngest life. */
export interface Life {
  readonly writer: Writer;
  readonly state: "up" | "down";
  /** By the clock of the table's owner. */
  readonly last_seen_ms: number;
}

/** A life that must not return, nor an older one of its node. */
export interface Tombstone {
  readonly writer: Writer;
  readonly until_ms: number;
}

/** A transition of a writer; apply several in order. */
export interface Transition {
  readonly writer: Writer;
  readonly to: "up" | "down" | "forgotten";
}

/** The table. Changed by the functions below only. */
export interface Liveness {
  readonly options: LivenessOptions;
  /** By node id. */
  readonly lives: Map<string, Life>;
  /** The tombstones by node id; such a node has no life. The oldest are first. */
  readonly tombstones: BoundedMap<string, Tombstone>;
}

/**
 * An empty table. RangeError unless `down_ms` is at least twice `heartbeat_ms` (else one lost
 * heartbeat would be a death), `forget_ms` is more than `down_ms`, and the rest is above 0.
 */
export function createLiveness(options: LivenessOptions): Liveness {
  const { heartbeat_ms, down_ms, forget_ms, tombstone_ms, tombstones_max } = options;
  for (const [name, value] of Object.entries({ heartbeat_ms, tombstone_ms, tombstones_max })) {
    if (!(value > 0)) throw new RangeError(`${name} is ${value}; expected more than 0`);
  }
  if (!(down_ms >= 2 * heartbeat_ms)) {
    throw new RangeError(`down_ms is ${down_ms}; expected at least twice ${heartbeat_ms}`);
  }
  if (!(forget_ms > down_ms)) {
    throw new RangeError(`forget_ms is ${forget_ms}; expected more than ${down_ms}`);
  }
  return { options, lives: new Map(), tombstones: new BoundedMap(tombstones_max) };
}

/** Whether there is a tombstone of this life, or of a younger one of its node. */
export function isForgotten({ tombstones }: Liveness, writer: Writer, now_ms: number): boolean {
  const tombstone = tombstones.get(writer.node_id);
  return tombstone !== undefined && now_ms < tombstone.until_ms &&
    writer.incarnation <= tombstone.writer.incarnation;
}

function bury({ options, tombstones }: Liveness, writer: Writer, now_ms: number): void {
  const { node_id, incarnation } = writer;
  const known = tombstones.get(node_id)?.writer;
  const youngest = known !== undefined && known.incarnation > incarnation ? known : writer;
  tombstones.renew(node_id, { writer: youngest, until_ms: now_ms + options.tombstone_ms });
}

/** Ends a life: down first, if it was up, then forgotten. */
function end({ lives }: Liveness, { writer, state }: Life): Transition[] {
  lives.delete(writer.node_id);
  const forgotten: Transition = { writer, to: "forgotten" };
  return state === "up" ? [{ writer, to: "down" }, forgotten] : [forgotten];
}

/**
 * A writer was heard at `now_ms`: it is up. If it is a younger life of a known node, the older one is forgotten first,
 * at once. Undefined: it is forgotten, or a younger life of the node is known; nothing changed.
 */
export function heartbeat(
  table: Liveness,
  writer: Writer,
  now_ms: number,
): readonly Transition[] | undefined {
  const { node_id, incarnation } = writer;
  const previous = table.lives.get(node_id);
  const is_older = previous !== undefined && incarnation < previous.writer.incarnation;
  if (is_older || isForgotten(table, writer, now_ms)) return undefined;
  const is_same = previous?.writer.incarnation === incarnation;
  const transitions = previous === undefined || is_same ? [] : end(table, previous);
  if (!is_same || previous.state === "down") transitions.push({ writer, to: "up" });
  // The owner's clock may be set back; that must not make the last message older.
  const last_seen_ms = is_same ? Math.max(previous.last_seen_ms, now_ms) : now_ms;
  table.lives.set(node_id, { writer, state: "up", last_seen_ms });
  // From now on the live record refuses older lives.
  table.tombstones.delete(node_id);
  return transitions;
}

/** The transitions of silent writers at `now_ms`. Also drops expired tombstones. */
export function sweep(table: Liveness, now_ms: number): readonly Transition[] {
  const { down_ms, forget_ms } = table.options;
  const transitions: Transition[] = [];
  for (const life of table.lives.values()) {
    const silent_ms = now_ms - life.last_seen_ms;
    if (silent_ms < 0) {
      // The owner's clock was set back: the silence counts from now.
      table.lives.set(life.writer.node_id, { ...life, last_seen_ms: now_ms });
    } else if (silent_ms >= forget_ms) {
      transitions.push(...end(table, life));
      bury(table, life.writer, now_ms);
    } else if (silent_ms >= down_ms && life.state === "up") {
      table.lives.set(life.writer.node_id, { ...life, state: "down" });
      transitions.push({ writer: life.writer, to: "down" });
    }
  }
  for (const [node_id, { until_ms }] of table.tombstones) {
    if (until_ms <= now_ms) table.tombstones.delete(node_id);
  }
  return transitions;
}

/**
 * A writer announces its end: it is forgotten at once, known or not, with any older life of its node. Nothing happens
 * if a younger life is known.
 */
export function depart(table: Liveness, writer: Writer, now_ms: number): readonly Transition[] {
  const life = table.lives.get(writer.node_id);
  if (life !== undefined && life.writer.incarnation > writer.incarnation) return [];
  const transitions = life === undefined ? [] : end(table, life);
  bury(table, writer, now_ms);
  return transitions;
}

/** The table's owner was stalled for `gap_ms`: no writer counts as silent for that time. */
export function extend({ lives }: Liveness, gap_ms: number): void {
  if (!(gap_ms >= 0)) throw new RangeError(`gap_ms is ${gap_ms}; expected 0 or more`);
  for (const [node_id, life] of lives) {
    lives.set(node_id, { ...life, last_seen_ms: life.last_seen_ms + gap_ms });
  }
}
