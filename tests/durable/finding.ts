/**
 * What can be wrong with a recorded run of durable rooms. Only the words; `checker.ts` finds it.
 */

/** What can be wrong. */
export type FindingKind =
  /** In the log, and a subscriber who had to see it did not. */
  | "missed"
  /** One subscriber saw one offset twice. */
  | "repeated"
  /** An offset below one that was seen before. */
  | "out-of-order"
  /** Another offset than the acknowledgement said. */
  | "wrong-offset"
  /** Several acknowledgements of one message with different offsets. */
  | "two-offsets"
  /** One message at several offsets. */
  | "stored-twice"
  /** Different messages at one offset. */
  | "conflict"
  /** Other bytes than were published. */
  | "altered"
  /** A message that nobody published. */
  | "foreign"
  /** A subscriber found itself in another epoch without a word, or epochs came back that had ended. */
  | "epoch-swapped"
  /** Told of a position that no message has reached. */
  | "position-ahead"
  /** A message before any SUB was accepted, or after leaving. */
  | "unasked";

/** One thing that is wrong. */
export interface Finding {
  readonly kind: FindingKind;
  readonly room_id: string;
  /** In words: who, which message, which offset. */
  readonly text: string;
}
