/** A durable room for fan-out: its messages, and readers' positions. `durable/` stores them. */
import type { Frame } from "./frame_bytes.ts";

/** One message of a durable room. */
export interface Entry {
  readonly offset: number;
  /** The connection that published it without echo; "" for none. */
  readonly origin: string;
  readonly envelope: Uint8Array;
  /** The binary frame: an opcode, the envelope as stored, and the offset. */
  readonly binary: Uint8Array<ArrayBuffer>;
  /** The text frame, made for the first receiver. */
  text: Frame | undefined;
}

/**
 * What one subscription was sent from one position in the room until it was live: the offset after which it began,
 * those of the first and the last message, 0: none; and the ledger's position at which it was live, 0: not yet.
 */
export interface Episode {
  readonly after: number;
  first: number;
  last: number;
  live: number;
}

/** The place of one connection in one durable room: live, or behind. It outlives a SUB that only changes options. */
export interface Flow {
  /** True if the connection receives live messages; otherwise it gets what it missed, as fast as it reads. */
  readonly is_live: boolean;
  /**
   * Starts the episode of another subscription that takes over: what it was not sent itself stays in the former
   * episode.
   */
  continueAs(): Episode;
}

/** The position that a subscriber brings; `epoch` is "" if it has none. */
export interface Position {
  readonly after: number;
  readonly epoch: string;
}

/** Why a subscriber is not recovered. */
export type Unrecovered = Lost | "too-many" | "offset-ahead";
/** Why a subscriber is not recovered. */
export type Lost = "epoch-changed" | "history-trimmed" | "erased";

/**
 * How a subscriber enters a room. All members show the state of the moment in which they are read, up to the first call
 * of `flow`. Read `recovered`, `reason`, `flow` and `position()` in one turn, and in that same turn start to pass
 * `onEntry` and `onGap` on to the subscriber, or to send what it missed. Then nothing is lost or doubled, however late
 * that turn is: the flow has the messages since the decision, and a gap reported to others meanwhile has made
 * `recovered` false.
 */
export interface EntryPoint {
  /** Undefined: the subscriber has no position. True: the flow has exactly the missed messages, and then new ones. */
  readonly recovered: boolean | undefined;
  /** Why the subscriber is not recovered; "" otherwise. */
  readonly reason: "" | Unrecovered;
  /** The subscriber's flow from the position where it continues: a new one, or `before` unless it `may_return`. */
  flow(before?: Flow, may_return?: boolean): Flow;
  /** The room's position at the time of this call. */
  position(): { offset: number; epoch: string };
}
