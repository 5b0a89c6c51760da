/**
 * The plain data of presence: writers, entries, deltas. `state.ts` defines their meaning and how they merge; `wire.ts`
 * encodes them.
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

/** `node_id@incarnation`: the key of maps. */
export type WriterKey = string;

/** An entry without the fields that its writer assigns. */
export type MemberInput = Omit<Entry, "counter" | "joined_ms" | "changed_ms">;

/**
 * One writer's changes: covers the counters after `start` up to `end`, and in addition those in `removed` (an entry
 * created before `start` that has ended since). Counters of removed entries and entries are disjoint.
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
