/** What a reader of the log is given, whichever way it reads. Types only. */
import type { Intake } from "./intake.ts";
import type { Standing } from "./standing.ts";

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
  /** Rejects when the database is not heard of any more. */
  readonly lost: Promise<never>;
  /** Notes in the database how far everything is over. */
  readonly note: () => Promise<void>;
}
