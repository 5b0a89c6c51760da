/** Types of the text facts in the ledger's rows. */

/** Reasons why a connection did not receive a message of a subscribed room. */
export const LEFT_OUT_WHYS = [
  "slow_reader",
  "conflated",
  "echo",
  "queued",
  "filter",
  "lost",
] as const;
/** One of `LEFT_OUT_WHYS`. */
export type LeftOutWhy = typeof LEFT_OUT_WHYS[number];

/**
 * Stored messages of a durable room sent to a subscription, after the offset `after`: from `first` to `last`, 0: none;
 * `live` is the position at which it became live, 0: it has not caught up.
 */
export interface CaughtUp {
  readonly after: number;
  readonly first: number;
  readonly last: number;
  readonly live: number;
}

/** An existing connection, in stored form. */
export interface ConnectionBegin {
  readonly connection_id: string;
  readonly tenant_id: string;
  readonly user_id: string;
  readonly remote_ip: string;
  /** Unix ms. */
  readonly began_ms: number;
  readonly batch: boolean;
}

/** An existing subscription, in stored form. */
export interface SubscriptionBegin {
  readonly number: number;
  readonly since: number;
  readonly since_ms: number;
  readonly caught_up?: CaughtUp | undefined;
  /** The numbers of its filters; absent: it has none. */
  readonly filters?: readonly number[] | undefined;
}

/** An ended subscription; the row's position is that of its end. */
export interface SubscriptionEnd extends SubscriptionBegin {
  /** Why it ended: `unsubscribed`, `resubscribed`, `kicked`, `closed`, or the reason of a refusal. */
  readonly why: string;
  /** Whether messages of one turn could share a frame. */
  readonly batch: boolean;
}

/** Offsets of a durable room's messages that a subscription skipped. */
export interface PassedOver {
  readonly number: number;
  readonly from: number;
  readonly to: number;
  readonly why: LeftOutWhy;
}

/** Messages of a room's log sent to a reader. */
export interface PastRead {
  readonly user_id: string;
  /** The reading connection; "": over HTTP. */
  readonly connection_id: string;
  readonly how: "history" | "stream";
  /** Offsets: all messages of the room from the first to the last, or those of the list. */
  readonly from: number;
  readonly to: number;
  readonly listed?: readonly number[] | undefined;
}

/** A connection that has ended. */
export interface ConnectionEnd extends Omit<ConnectionBegin, "batch"> {
  readonly code: number;
  /** The reason that the client received, or ""; it closed the connection itself, or was lost. */
  readonly reason: string;
  /** Bytes that the socket had not passed to the kernel. */
  readonly unsent_bytes: number;
  /** The position of the first message that was still queued; 0: none. */
  readonly queued_from: number;
}

/** A refused handshake, frame or operation. */
export interface Refusal {
  readonly stage: "handshake" | "operation";
  readonly tenant_id: string;
  readonly user_id: string;
  readonly connection_id: string;
  readonly remote_ip: string;
  readonly room_id: string;
  readonly reason: string;
  readonly detail: string;
}

/** The longest text of a fact, in UTF-16 units. */
const TEXT_UNITS = 300;

/** A text that fits into a row. */
export const clipped = (text: string): string =>
  text.length <= TEXT_UNITS ? text : text.slice(0, TEXT_UNITS);
