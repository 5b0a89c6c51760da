/**
 * Members of rooms as plain data: who is in which room, which incarnation of a Shield announced it, and the messages
 * between Brains and Shields that others than presence need.
 */
import type { LeaveReason } from "./leave_reason.ts";

/** The bucket of rooms that have members. Keys: `[tenant_id, room_id]`; values are empty. */
export const MEMBERS_BUCKET = "ARQON_MEMBERS";

/**
 * One incarnation of a Shield process. Only it makes birth marks of its own; of two incarnations of one node the higher
 * number is the younger.
 */
export interface Writer {
  readonly node_id: string;
  /** Unix ms of the start, or higher if that was taken. */
  readonly incarnation: number;
}

/** One connection in one room, as its Shield announced it. Immutable. */
export interface Entry {
  /** The writer's counter at this announcement: with the writer, the birth mark. */
  readonly counter: number;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly connection_id: string;
  readonly user_id: string;
  /** Issuer of the user's token: a user is (issuer, subject). */
  readonly issuer: string;
  /** JSON text of at most `limits.member_meta_bytes`; "" if the connection gave none. */
  readonly meta: string;
  /** Unix ms of the join; an update keeps it. */
  readonly joined_ms: number;
  /** Unix ms, the writer's clock, of this announcement. */
  readonly changed_ms: number;
}

/** An entry and its writer. */
export interface WrittenEntry {
  readonly writer: Writer;
  readonly entry: Entry;
}

/** A birth mark: the writer and its counter. */
export interface Tag {
  readonly writer: Writer;
  readonly counter: number;
}

/** A writer and the highest counter seen from it. */
export interface WriterClock {
  readonly writer: Writer;
  readonly clock: number;
}

/** A writer's state in a Brain: a writer that is down may return, a forgotten one may not. */
export type WriterState = "up" | "down" | "forgotten";

/** One writer in a beat. */
export interface WriterStatus extends WriterClock {
  readonly state: WriterState;
}

/** Whether a Brain participates. */
export type BrainState = "starting" | "serving" | "draining";

/** Brain → `beat`. */
export interface Beat {
  readonly kind: "beat";
  readonly brain_id: string;
  readonly boot: number;
  readonly state: BrainState;
  /** Every writer that it knows, forgotten ones too. For a node only the youngest incarnation. */
  readonly writers: readonly WriterStatus[];
  /** A hash of the room classes in its configuration: 1 to 2^32 - 1. Absent: not reported. */
  readonly classes_hash?: number;
}

/** Any process → `HELLO`: requests the state of all processes. */
export interface Hello {
  readonly kind: "hello";
  readonly from: string;
}

/** A member that left its Shield; its entry's `changed_ms` is the time, and its metadata is omitted. */
export interface Stay extends WrittenEntry {
  readonly cause: LeaveReason;
}

/** Members of one room that left and that their Shield could not record, between two times (Unix ms). */
export interface MissedStays {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly count: number;
  readonly from_ms: number;
  readonly to_ms: number;
}

/** Shield → `announce`: members that left and may not be in the room's journal yet. */
export interface Stays {
  readonly kind: "stays";
  readonly stays: readonly Stay[];
  readonly missed: readonly MissedStays[];
}

/** Room's owner → `direct` of the Shield: stays that are in the journal, or need not be. */
export interface StaysWritten {
  readonly kind: "stays_written";
  readonly stays: readonly Tag[];
  readonly missed: readonly MissedStays[];
}
