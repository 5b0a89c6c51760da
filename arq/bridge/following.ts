/** What a reader of the log is given, whichever way it reads. What both have in common. */
import type { Intake } from "./intake.ts";
import type { Standing } from "./standing.ts";
import type { Lsn } from "./wal.ts";

/**
 * What others write is noted when it is so much: a note is itself in the log, and a database that has nothing to do
 * must come to rest.
 */
export const IDLE_BYTES = 1_048_576n;

/** One connection to a database, until it breaks. */
export interface Following {
  readonly url: string;
  readonly slot: string;
  readonly standing: Standing;
  readonly intake: Intake;
  /** Messages that wait for the bus, above which nothing more is read. */
  readonly waiting_messages: number;
  readonly signal: AbortSignal;
  /** Unix ms. */
  readonly now: () => number;
  /** The slot is ours. */
  readonly onFollowing: () => void;
  /** Says whom to tell when a message is over. */
  readonly onOver: (listener: () => void) => void;
  /** Rejects when the database is no longer heard of. */
  readonly lost: Promise<never>;
  /** Rejects when the slot that is ours by now is not the one that `standing` was found with. */
  readonly check: () => Promise<void>;
  /** Notes in the database how far everything is over, and gives that. The slot learns no more than that. */
  readonly note: () => Promise<Lsn>;
}
