/** A durable room for fan-out: its messages, and readers' positions. `durable/` stores them. */
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import type { Frame } from "./frame_bytes.ts";

/** One message of a durable room. */
export interface Entry {
  readonly offset: number;
  /** The connection that published it without echo; "" for none. */
  readonly origin: string;
  /** The envelope as stored. */
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
  /** Bytes of the connection's unread messages; 0 if it is live. */
  readonly lag_bytes: number;
  /** The number of the connection's unread messages. */
  readonly lag_messages: number;
  /** What the connection was sent since the flow began, or since `continueAs`. */
  readonly episode: Episode;
  /**
   * Starts the episode of another subscription that takes over: what it was not sent itself stays in the former
   * episode.
   */
  continueAs(): Episode;
  /** Makes the connection live at once; its old position is dropped. */
  finish(): void;
  /** Records the ledger's position at which the connection is live. */
  noteLive(position: number): void;
}

/** The position that a subscriber brings; `epoch` is "" if it has none. */
export interface Position {
  readonly after: number;
  readonly epoch: string;
}

/** Why a subscriber is not recovered. */
export type Unrecovered = Lost | "too-many" | "offset-ahead";
/** Why messages are lost for good. */
export type Lost = "epoch-changed" | "history-trimmed" | "erased";

/**
 * How a subscriber enters a room. All members show the state of the moment in which they are read, up to the first call
 * of `flow`. Read `recovered`, `reason`, `flow` and `position()` in one turn, and in that same turn start to pass
 * `onEntry` and `onGap` on to the subscriber, or to send what it missed. Then nothing is lost or doubled, however late
 * that turn is: the flow has the messages since the decision, and a gap reported to others meanwhile has made
 * `recovered` false.
 */
export interface EntryPoint {
  /**
   * Undefined: the subscriber has no position. True: the flow has exactly the missed messages, and then new ones.
   */
  readonly recovered: boolean | undefined;
  /** Why the subscriber is not recovered; "" otherwise. */
  readonly reason: "" | Unrecovered;
  /** The subscriber's flow from the position where it continues: a new one, or `before` unless it `may_return`. */
  flow(before?: Flow, may_return?: boolean): Flow;
  /** The room's position at the time of this call. */
  position(): { offset: number; epoch: string };
}

/** The events of a room's log. */
export interface RoomEvents {
  /** The next message in order, for subscribers that are not behind. */
  onEntry(entry: Entry): void;
  /** Messages are lost for good, before the first entry after them. */
  onGap(reason: Lost): void;
}

/** The log of one room in this process, perhaps still opening. */
export interface DurableRoom {
  /**
   * Takes a message with an offset; returns the subscribers to whom the caller must deliver it at once: all, none, or
   * those without a position in the room's log.
   */
  receive(message: SpineMessage, has_live: boolean): "all" | "none" | "placeless";
  /** Opens the log if necessary; rejects as opening does. */
  log(): Promise<unknown>;
  /** Enters a subscriber with its former position, within a time limit. */
  enter(position: Position | undefined): Promise<EntryPoint>;
  /** Closes the log, because the room has no subscriber, or is no longer durable. */
  close(): void;
}
