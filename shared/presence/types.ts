/**
 * The plain data of presence: writers, entries, deltas. What they mean and how they merge is
 * `state.ts`; how they look on the wire is `wire.ts`.
 */

/**
 * One life of one Shield process. Only it makes birth marks of its own; of two lives of one node the
 * higher incarnation is the younger.
 */
export interface Writer {
  readonly node_id: string;
  /** Unix ms of the start, or higher when that was taken. */
  readonly incarnation: number;
}

/** `node_id@incarnation`: what maps are keyed by. */
export type WriterKey = string;

/** How much of each writer has been seen; a writer that is not in it is not known at all. */
export type Clocks = ReadonlyMap<WriterKey, number>;

/** One connection in one room, as its Shield announced it. Never changed in place. */
export interface Entry {
  /** The writer's counter at the moment of this announcement: with the writer, the birth mark. */
  readonly counter: number;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly connection_id: string;
  readonly user_id: string;
  /** Issuer of the user's token: a user is (issuer, subject). */
  readonly issuer: string;
  /** JSON text of at most `[limits] member_meta_bytes`; "" when the connection gave none. */
  readonly meta: string;
  /** Unix ms of the join; an update keeps it. */
  readonly joined_ms: number;
  /** Unix ms, the writer's clock, of this announcement. */
  readonly changed_ms: number;
}

/** An entry without what its writer gives it. */
export type MemberInput = Omit<Entry, "counter" | "joined_ms" | "changed_ms">;

/** An entry and whose it is. */
export interface WrittenEntry {
  readonly writer: Writer;
  readonly entry: Entry;
}

/** A birth mark. */
export interface Tag {
  readonly writer: Writer;
  readonly counter: number;
}

/**
 * What one writer did: covers the counters after `start` up to `end`, and besides these those in
 * `removed` (an entry born before `start` that has ended since). Counters of removed entries and
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
