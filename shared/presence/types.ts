/**
 * The plain data of presence: writers, entries, deltas. What they mean and how they merge is
 * `state.ts`; how they look on the wire is `wire.ts`.
 */
import type { Entry, Writer } from "../records/member.ts";

export type { Entry, Writer, WrittenEntry } from "../records/member.ts";

/** `node_id@incarnation`: what maps are keyed by. */
export type WriterKey = string;

/** How much of each writer has been seen; a writer that is not in it is not known at all. */
export type Clocks = ReadonlyMap<WriterKey, number>;

/** An entry without what its writer gives it. */
export type MemberInput = Omit<Entry, "counter" | "joined_ms" | "changed_ms">;

/** A birth mark. */
export interface Tag {
  readonly writer: Writer;
  readonly counter: number;
}

/**
 * What one writer did: covers the counters after `start` up to `end`, and besides these those in
 * `removed` (an entry created before `start` that has ended since). Counters of removed entries and
 * entries are disjoint.
 */
export interface Delta {
  readonly writer: Writer;
  readonly start: number;
  readonly end: number;
  readonly entries: readonly Entry[];
  readonly removed: readonly number[];
}

/** A writer and how much of it has been seen. */
export interface WriterClock {
  readonly writer: Writer;
  readonly clock: number;
}

/** How a Brain sees a writer: down ones may come back, forgotten ones may not. */
export type WriterState = "up" | "down" | "forgotten";

/** One line of what a Brain knows. */
export interface WriterStatus extends WriterClock {
  readonly state: WriterState;
}

/** The key of a writer. */
export function writerKey({ node_id, incarnation }: Writer): WriterKey {
  return `${node_id}@${incarnation}`;
}
