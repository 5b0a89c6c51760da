/**
 * The plain data of presence: writers, entries, deltas. What they mean and how they merge is
 * `state.ts`; how they look on the wire is `wire.ts`.
 */
import type { Entry, Writer } from "../records/member.ts";

export type {
  Entry,
  Tag,
  Writer,
  WriterClock,
  WriterState,
  WriterStatus,
  WrittenEntry,
} from "../records/member.ts";

/** `node_id@incarnation`: what maps are keyed by. */
export type WriterKey = string;

/** How much of each writer has been seen; a writer that is not in it is not known at all. */
export type Clocks = ReadonlyMap<WriterKey, number>;

/** An entry without what its writer gives it. */
export type MemberInput = Omit<Entry, "counter" | "joined_ms" | "changed_ms">;

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

/** The key of a writer. */
export function writerKey({ node_id, incarnation }: Writer): WriterKey {
  return `${node_id}@${incarnation}`;
}
