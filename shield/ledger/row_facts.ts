/** What the ledger's rows say in words: data only. */

/** Why a connection was not given a message of a room that it heard. */
export const LEFT_OUT_WHYS = ["slow_reader", "conflated", "echo", "queued", "filter"] as const;
/** One of `LEFT_OUT_WHYS`. */
export type LeftOutWhy = typeof LEFT_OUT_WHYS[number];

/**
 * What a subscription was given of a durable room's past, behind the offset `after`: messages from `first` to
 * `last`, offsets, 0: none; `live` is the position from which on it got messages as they came, 0: it has yet to
 * catch up.
 */
export interface CaughtUp {
  readonly after: number;
  readonly first: number;
  readonly last: number;
  readonly live: number;
}

/** A connection that is there, as it is stored. */
export interface ConnectionBegin {
  readonly connection_id: string;
  readonly tenant_id: string;
  readonly user_id: string;
  readonly remote_ip: string;
  /** Unix ms. */
  readonly began_ms: number;
  readonly batch: boolean;
}

/** A subscription that is there, as it is stored. */
export interface SubscriptionBegin {
  readonly number: number;
  readonly since: number;
  readonly since_ms: number;
  readonly caught_up?: CaughtUp | undefined;
  /** The numbers of its filters; absent: it has none. */
  readonly filters?: readonly number[] | undefined;
}

/** A subscription that has ended; the row's place says at which position. */
export interface SubscriptionEnd {
  readonly number: number;
  readonly since: number;
  readonly since_ms: number;
  /** Why it ended: `unsubscribed`, `resubscribed`, `kicked`, `closed`, or a reason of a refusal. */
  readonly why: string;
  /** Whether messages of one turn could share a frame. */
  readonly batch: boolean;
  readonly caught_up?: CaughtUp | undefined;
  /** The numbers of its filters; absent: it had none. */
  readonly filters?: readonly number[] | undefined;
}

/** Messages of a durable room, by their offsets, that a subscription was not given. */
export interface PassedOver {
  /** The subscription's number. */
  readonly number: number;
  readonly from: number;
  readonly to: number;
  readonly why: LeftOutWhy;
}

/** Messages of a room's log that a user was given because it asked for them. */
export interface PastRead {
  readonly user_id: string;
  /** The connection that asked; "": it was over HTTP. */
  readonly connection_id: string;
  readonly how: "history" | "stream";
  /** Offsets: all messages of the room from the first to the last, or those of the list. */
  readonly from: number;
  readonly to: number;
  readonly listed?: readonly number[] | undefined;
}

/** A connection that has ended. */
export interface ConnectionEnd {
  readonly connection_id: string;
  readonly tenant_id: string;
  readonly user_id: string;
  readonly remote_ip: string;
  /** Unix ms. */
  readonly began_ms: number;
  readonly code: number;
  /** The reason that the client received, or ""; it closed the connection itself, or was lost. */
  readonly reason: string;
  /** Bytes that the socket had not passed on to the kernel yet. */
  readonly unsent_bytes: number;
  /** The position of the first message that was still queued and has not left; 0: none was. */
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
