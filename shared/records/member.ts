/**
 * Members of rooms as plain data: who is where, which life of which Shield says so, and what Brains and Shields say
 * of them that others than presence need.
 */
import type { LeaveReason } from "./leave_reason.ts";

/** The bucket of rooms that have members. Keys: `[tenant_id, room_id]`; values are empty. */
export const MEMBERS_BUCKET = "ARQON_MEMBERS";

/**
 * One life of one Shield process. Only it makes birth marks of its own; of two lives of one node the
 * higher incarnation is the younger.
 */
export interface Writer {
  readonly node_id: string;
  /** Unix ms of the start, or higher when that was taken. */
  readonly incarnation: number;
}

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
  /** JSON text of at most `limits.member_meta_bytes`; "" when the connection gave none. */
  readonly meta: string;
  /** Unix ms of the join; an update keeps it. */
  readonly joined_ms: number;
  /** Unix ms, the writer's clock, of this announcement. */
  readonly changed_ms: number;
}

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

/** Whether a Brain takes part. */
export type BrainState = "starting" | "serving" | "draining";

/** Brain → `beat`. */
export interface Beat {
  readonly kind: "beat";
  readonly brain_id: string;
  readonly boot: number;
  readonly state: BrainState;
  /** Every writer that it knows, forgotten ones too. Of a node only the youngest life. */
  readonly writers: readonly WriterStatus[];
  /** A number for the room classes of its configuration: 1 to 2^32 - 1. Absent: it does not say. */
  readonly classes_hash?: number;
}

/** A member that has left its Shield; its entry's `changed_ms` says when, and its metadata is left out. */
export interface Stay extends WrittenEntry {
  readonly cause: LeaveReason;
}

/** Members of one room that left and that their Shield could not keep, between two times (Unix ms). */
export interface MissedStays {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly count: number;
  readonly from_ms: number;
  readonly to_ms: number;
}

/** Shield → `announce`: who has left and, as far as it knows, may not be in the journal of its room. */
export interface Stays {
  readonly kind: "stays";
  readonly stays: readonly Stay[];
  readonly missed: readonly MissedStays[];
}

/** Room's owner → `direct` of the Shield: what is in the journal, or need not be. */
export interface StaysWritten {
  readonly kind: "stays_written";
  readonly stays: readonly Tag[];
  readonly missed: readonly MissedStays[];
}
