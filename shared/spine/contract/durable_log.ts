/**
 * The logs of durable rooms as a Spine engine offers them: one a tenant, with one running number for
 * all its rooms. Both engines pass `conformance_log.ts`. What a log has taken comes to subscribers on
 * `in.t.{tenant}.r.{room}` with the headers below, as a JetStream stream republishes it. Errors are
 * `ArqonError`s with reason `log-unavailable` (503), or `spine-unavailable` while the Spine is down.
 */
import type { Lives } from "./lives.ts";
import type { SpineHeaders, SpineMessage } from "./spine.ts";

/**
 * The header that names the log that took the message; it is another one after the log was lost.
 * `DurableLog.lifeOf` tells to which of the log's lives the message belongs.
 */
export const LOG_STREAM_HEADER = "Nats-Stream";
/** The header with the message's offset. */
export const LOG_OFFSET_HEADER = "Nats-Sequence";
/**
 * The header with the offset of the message before it that the log had of this room then; "0" when
 * it had none.
 */
export const LOG_PREVIOUS_HEADER = "Nats-Last-Sequence";
/** The header with the time at which the log took it: RFC 3339. */
export const LOG_TIME_HEADER = "Nats-Time-Stamp";

/** The offset of a message that a log has taken; 0 for any other. */
export function offsetOf({ headers }: Pick<SpineMessage, "headers">): number {
  const text = headers[LOG_OFFSET_HEADER];
  return text === undefined ? 0 : Number(text);
}

/** How long the keys of appends are known, so that a repetition is found, in ms. */
export const LOG_DEDUPLICATION_MS = 120_000;

/** Bounds of the logs, as `[durable]` and `[limits]` of the configuration have them. */
export interface LogLimits {
  /** Largest log in bytes: of a tenant on NATS, of all tenants in the embedded engine. */
  readonly log_bytes: number;
  /** What one tenant's messages may take in the embedded engine. */
  readonly tenant_bytes: number;
  /** Streams on NATS that small tenants share; 0: each tenant has one of its own. */
  readonly shared_streams: number;
  /** Largest size of each of them in bytes. */
  readonly shared_bytes: number;
  /** What each tenant may store in one of them, however much others do. */
  readonly shared_tenant_bytes: number;
  /** Appends under way in this process; further ones are refused. */
  readonly pending_messages: number;
  /** Payload bytes of those appends; with more they are refused. */
  readonly pending_bytes: number;
  /** How the embedded engine writes its file; see `[durable] synchronous`. */
  readonly synchronous: "off" | "normal" | "full";
}

/** The limits without a configuration. */
export const LOG_LIMITS: LogLimits = {
  log_bytes: 1_073_741_824,
  tenant_bytes: Infinity,
  shared_streams: 0,
  shared_bytes: 1_073_741_824,
  shared_tenant_bytes: 524_288,
  pending_messages: 65_536,
  pending_bytes: 67_108_864,
  synchronous: "normal",
};

/** What a log keeps. */
export interface Retention {
  /** How many of the newest messages of each room are kept. */
  readonly history_size: number;
  readonly history_ttl_seconds: number;
  /**
   * Copies on a NATS cluster; undefined: 3 there, else 1. Has no meaning in the embedded engine.
   */
  readonly replicas: number | undefined;
  /**
   * What is kept for every tenant: one that asks for no more may share a stream with others, which keeps
   * this. Absent: it shares none. Without a meaning in the embedded engine.
   */
  readonly common?: Retention;
}

/** How to append. */
export interface AppendOptions {
  /**
   * The idempotency key: appends to one room with the same key within `LOG_DEDUPLICATION_MS` are
   * stored once.
   */
  readonly key?: string;
  /** Headers that are stored with the message. */
  readonly headers?: SpineHeaders;
  /**
   * The offset of the room's newest message, 0 for none. When it is another one by now, nothing is
   * stored: `version-conflict` (409). That is looked at before `key`, so a repetition may be a conflict.
   */
  readonly expected_last?: number;
}

/** One of several messages that are appended together. */
export interface NewMessage {
  readonly payload: Uint8Array;
  /** Headers that are stored with the message. */
  readonly headers?: SpineHeaders;
}

/** The outcome of an append. */
export interface Appended {
  readonly offset: number;
  /** True when the message was stored before, at that offset. */
  readonly duplicate: boolean;
  readonly stream: string;
}

/** A stored message. */
export interface LogMessage {
  readonly offset: number;
  /** When the log took it, Unix ms by the log's clock. */
  readonly time_ms: number;
  /** The reader's own copy. */
  readonly payload: Uint8Array;
  readonly headers: SpineHeaders;
}

/** Which messages to read forward. */
export interface LogRead {
  /** Messages above this offset. */
  readonly after: number;
  /** At most so many messages, at least 1. */
  readonly limit: number;
  /** About so many bytes; at least one message is read. */
  readonly max_bytes: number;
}

/** Which messages to read backward. */
export interface LogReadBack extends Omit<LogRead, "after"> {
  /** Messages below this offset; 0: from the newest on. */
  readonly before: number;
}

/** Messages in the order of their offsets. */
export interface LogPage {
  readonly stream: string;
  readonly messages: readonly LogMessage[];
  /**
   * True when nothing after `after` has been removed before the first message here (before the end,
   * when there is none). False also when the log cannot tell. Always false for `readBack`.
   */
  readonly complete: boolean;
  /** As `DurableLog.erased`, when that is above `after`: then it is not complete. */
  readonly erased?: number;
  /** True when there are more messages in this direction. */
  readonly more: boolean;
}

/** Which of a log's rooms are listed. */
export interface RoomsRead {
  /** How their names begin; "": all. */
  readonly prefix: string;
  /** Rooms behind this one, in the order of their names; "": from the first on. */
  readonly after: string;
  /** At most so many, at least 1. */
  readonly limit: number;
}

/** Rooms in the order of their names, which is that of their bytes. */
export interface RoomsPage {
  readonly rooms: readonly string[];
  /** True when there are more. */
  readonly more: boolean;
}

/** The newest position of a room. */
export interface RoomHead {
  readonly stream: string;
  /** The room's newest message; undefined when the log has none. */
  readonly last: LogMessage | undefined;
  /** The highest offset that the log has given to any room; no position can be above it. */
  readonly log_offset: number;
  /** As `DurableLog.erased`; absent: 0. */
  readonly erased?: number;
}

/** The state of a log, with all that share its stream; for metrics and operators. */
export interface LogStatus extends Retention {
  readonly stream: string;
  readonly messages: number;
  readonly bytes: number;
  readonly log_offset: number;
}

/** What of a room a cut leaves: its newest messages, as many as that, or those with a higher offset. */
export type Kept = number | { readonly through: number };

/**
 * The log of one tenant. Opening a log that was lost or deleted makes a new one, with a new
 * `stream`. So does an older copy that was put in its place: it gets a new life, and `stream` is
 * the life's name.
 */
export interface DurableLog {
  readonly tenant_id: string;
  /**
   * The name of the newest life that this process knows. Every `stream` in an answer is one of
   * these.
   */
  readonly stream: string;
  /** All lives of the log that are remembered. */
  readonly lives: Lives;
  /**
   * False while it is not known whether the log still is the one that this process knew: from the
   * loss of the connection until the log has been compared. Every call except `now` waits for that.
   */
  readonly is_proven: boolean;
  /** The life of a message that came live, by its `LOG_STREAM_HEADER` and offset. */
  lifeOf(stream: string, offset: number): string;
  /**
   * Stores a copy and resolves when it is safe: with NATS on its replicas, embedded in the file. It
   * never tries again once the message may have been stored: give a `key` for repeating it. Appends
   * of one caller to one room are stored in the order of the calls.
   */
  append(room_id: string, payload: Uint8Array, options?: AppendOptions): Promise<Appended>;
  /**
   * Stores copies of one or more messages of a room, each right behind the one before and the first behind
   * `expected_last`, as `append` does; resolves with the last. When it rejects, the first ones of them may be
   * stored, and no other: with `version-conflict` when another message came before or between them.
   */
  appendAll(
    room_id: string,
    messages: readonly NewMessage[],
    expected_last: number,
  ): Promise<Appended>;
  /**
   * The newest position of a room. It counts every append that was acknowledged before the call.
   */
  head(room_id: string): Promise<RoomHead>;
  /** The offset of each room's newest message, by room; may be behind. Rooms without one are left out. */
  heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /**
   * The rooms of which the log has a message now; may be behind. Costs as much as the log has rooms: for
   * operators.
   */
  rooms(options: RoomsRead): Promise<RoomsPage>;
  /** Reads messages forward. May be behind `head`: then it ends early, with `more` false. */
  read(room_id: string, options: LogRead): Promise<LogPage>;
  readBack(room_id: string, options: LogReadBack): Promise<LogPage>;
  /** The offset of a room's oldest message, 0 when it has none; may be behind `head`. */
  oldest(room_id: string): Promise<number>;
  /** How many messages of a room there are from this offset on; may be behind `head`. */
  count(room_id: string, from: number): Promise<number>;
  /** Removes all but the newest so many messages of a room, or the messages up to an offset. */
  trim(room_id: string, keep: Kept): Promise<void>;
  /**
   * Erases the messages of a room that have these offsets, wherever they are in it, and tells how many there
   * were. What waits for `Spine.scrub`, if there is one, is all that is left of them. Who asks again erases the
   * rest of what a failure has left. Rejects with `not-erasable` where the log cannot remove single messages.
   */
  erase(room_id: string, offsets: readonly number[]): Promise<number>;
  /** The highest offset of the room that was erased, as far as it matters to what is kept; 0: none was. */
  erased(room_id: string): Promise<number>;
  /**
   * Forgets the names of rooms whose messages were erased: from then on all of them count as erased up to the highest
   * offset that was. For a tenant that is erased whole.
   */
  forgetNames(): Promise<void>;
  /** Raises what the log keeps; with `shrink` sets it to exactly that. */
  retain(retention: Retention, shrink?: boolean): Promise<void>;
  status(): Promise<LogStatus>;
  /** The time by the log's clock, Unix ms. It does not jump with this process's wall clock. */
  now(): number;
}
