/**
 * The logs of durable rooms: one a tenant, with one sequence of offsets for all its rooms. Both engines pass
 * `conformance_log.ts`. Stored messages are delivered to subscribers on `in.t.{tenant}.r.{room}` with the headers
 * below, as a JetStream stream republishes it. Errors are `ArqonError`s with reason `log-unavailable` (503), or
 * `spine-unavailable` while the Spine is down.
 */
import type { Lives } from "./lives.ts";
import type { SpineHeaders, SpineMessage } from "./spine_message.ts";

/**
 * The header with the name of the log that stored the message; it changes when the log is lost. `DurableLog.lifeOf`
 * returns the message's life.
 */
export const LOG_STREAM_HEADER = "Nats-Stream";
/** The header with the message's offset. */
export const LOG_OFFSET_HEADER = "Nats-Sequence";
/** The header with the offset of the room's previous message at that time; "0" if there was none. */
export const LOG_PREVIOUS_HEADER = "Nats-Last-Sequence";
/** The header with the time at which the log stored it: RFC 3339. */
export const LOG_TIME_HEADER = "Nats-Time-Stamp";

/** The offset of a stored message; 0 for any other. */
export function offsetOf({ headers }: Pick<SpineMessage, "headers">): number {
  const text = headers[LOG_OFFSET_HEADER];
  return text === undefined ? 0 : Number(text);
}

/** How long the idempotency keys of appends are remembered, in ms. */
export const LOG_DEDUPLICATION_MS = 120_000;

/** What to do when a log is full. */
export const LOG_REMEDY =
  "raise [durable] log_bytes, or keep less with history_size and history_ttl_seconds";

/** Bounds of the logs, from `[durable]` and `[limits]` of the configuration. */
export interface LogLimits {
  /** Largest log in bytes: of a tenant on NATS, of all tenants in the embedded engine. */
  readonly log_bytes: number;
  /** What one tenant's messages may take in the embedded engine. */
  readonly tenant_bytes: number;
  /** Streams on NATS that small tenants share; 0: each tenant has its own. */
  readonly shared_streams: number;
  /** Largest size of each of them in bytes. */
  readonly shared_bytes: number;
  /** Bytes that each tenant is guaranteed in a shared stream. */
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
  /** Replicas on a NATS cluster; undefined: 3 on a cluster, else 1. The embedded engine ignores it. */
  readonly replicas: number | undefined;
  /**
   * The retention of shared streams: a tenant that needs no more may share one. Absent: it shares none. The embedded
   * engine ignores it.
   */
  readonly common?: Retention;
}

/** A retention that raises none. */
export const LEAST_RETENTION: Retention = {
  history_size: 1,
  history_ttl_seconds: 1,
  replicas: undefined,
};

/** How to append. */
export interface AppendOptions {
  /** The idempotency key: appends to one room with the same key within `LOG_DEDUPLICATION_MS` are stored once. */
  readonly key?: string;
  /** Headers that are stored with the message. */
  readonly headers?: SpineHeaders;
  /**
   * The expected offset of the room's newest message, 0 for none. If it differs, nothing is stored: `version-conflict`
   * (409). It is checked before `key`, so a retry may be a conflict.
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
  /** True if the message had already been stored, at that offset. */
  readonly duplicate: boolean;
  /** The life in which it was stored. */
  readonly stream: string;
}

/** A stored message. */
export interface LogMessage {
  readonly offset: number;
  /** When the log stored it, Unix ms by the log's clock. */
  readonly time_ms: number;
  /** The reader's own copy. */
  readonly payload: Uint8Array;
  readonly headers: SpineHeaders;
}

/** Which messages to read forward. */
export interface LogRead {
  /** Messages above this offset. */
  readonly after: number;
  /** At most this many messages, at least 1. */
  readonly limit: number;
  /** About this many bytes; at least one message is read. */
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
   * True if no message between `after` and the first message of the page was removed (up to the end, if the page is
   * empty). False also if the log cannot tell. Always false for `readBack`.
   */
  readonly complete: boolean;
  /** `DurableLog.erased`, if above `after`: then the page is not complete. */
  readonly erased?: number;
  /** True when there are more messages in this direction. */
  readonly more: boolean;
}

/** Which rooms of a log to list. */
export interface RoomsRead {
  /** Prefix of their names; "": all. */
  readonly prefix: string;
  /** Rooms after this name, in order; "": from the first on. */
  readonly after: string;
  /** At most this many, at least 1. */
  readonly limit: number;
}

/** Rooms in the byte order of their names. */
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
  /** The highest offset that the log has assigned in any room; no position can be above it. */
  readonly log_offset: number;
  /** As `DurableLog.erased`; absent: 0. */
  readonly erased?: number;
}

/** The state of a log, including all logs that share its stream; for metrics and operators. */
export interface LogStatus extends Retention {
  readonly stream: string;
  readonly messages: number;
  readonly bytes: number;
  readonly log_offset: number;
}

/** What a trim keeps: this many of the newest messages, or those with a higher offset than `through`. */
export type Kept = number | { readonly through: number };

/**
 * The log of one tenant. Opening a lost or deleted log creates a new one, with a new `stream`. A log that was restored
 * from an older copy gets a new life, and `stream` is the name of that life.
 */
export interface DurableLog {
  readonly tenant_id: string;
  /** The name of the newest life that this process knows. Each `stream` in an answer is the name of a life. */
  readonly stream: string;
  /** All lives of the log that are remembered. */
  readonly lives: Lives;
  /**
   * False while the log may have been replaced: from the loss of the connection until the log has been compared with
   * the known one. Every call except `now` waits until it is true.
   */
  readonly is_proven: boolean;
  /** The life of a delivered message, by its `LOG_STREAM_HEADER` and offset. */
  lifeOf(stream: string, offset: number): string;
  /**
   * Stores a copy and resolves when it is safe: with NATS on its replicas, embedded in the file. It does not retry once
   * the message may have been stored: callers that retry pass a `key`. Appends of one caller to one room are stored in
   * the order of the calls.
   */
  append(room_id: string, payload: Uint8Array, options?: AppendOptions): Promise<Appended>;
  /**
   * Stores copies of one or more messages of a room, adjacent to each other, the first directly after `expected_last`;
   * resolves with the last. When it rejects, a prefix of them may be stored: with `version-conflict` if another message
   * was stored before or between them.
   */
  appendAll(
    room_id: string,
    messages: readonly NewMessage[],
    expected_last: number,
  ): Promise<Appended>;
  /** The newest position of a room, including every append that was acknowledged before the call. */
  head(room_id: string): Promise<RoomHead>;
  /** The offset of each room's newest message, by room; may lag. Rooms without messages are left out. */
  heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** The rooms that have messages; may lag. The cost grows with the rooms of the log: for operators. */
  rooms(options: RoomsRead): Promise<RoomsPage>;
  /** Reads messages forward. May lag behind `head`: then it ends early, with `more` false. */
  read(room_id: string, options: LogRead): Promise<LogPage>;
  readBack(room_id: string, options: LogReadBack): Promise<LogPage>;
  /** The offset of a room's oldest message, 0 if it has none; may lag behind `head`. */
  oldest(room_id: string): Promise<number>;
  /** How many messages a room has from this offset on; may lag behind `head`. */
  count(room_id: string, from: number): Promise<number>;
  /** Removes all but the newest `keep` messages of a room, or the messages up to an offset. */
  trim(room_id: string, keep: Kept): Promise<void>;
  /**
   * Erases the messages of a room with these offsets, and resolves with their number. Their bytes stay in the files
   * until `Spine.scrub`, if the engine has it. A retry after a failure erases the rest. Rejects with
   * `settings-conflict` if the log cannot remove single messages.
   */
  erase(room_id: string, offsets: readonly number[]): Promise<number>;
  /** The highest erased offset of the room; 0: none. May be forgotten once no older message is kept. */
  erased(room_id: string): Promise<number>;
  /**
   * Forgets the names of rooms whose messages were erased: from then on all of them count as erased up to the highest
   * offset that was. For a tenant that is erased whole.
   */
  forgetNames(): Promise<void>;
  /** Raises the log's retention; with `shrink` sets it exactly. */
  retain(retention: Retention, shrink?: boolean): Promise<void>;
  status(): Promise<LogStatus>;
  /** The time by the log's clock, Unix ms. It does not jump with this process's wall clock. */
  now(): number;
  /**
   * The time by which messages have expired for readers, Unix ms, at most `now`. Embedded: also at most the wall clock,
   * as earlier messages may have been stored while that was ahead.
   */
  shownTime(): number;
  /**
   * The time by which what is this old may be deleted, Unix ms, at most `now`: 0 if a wall clock decides that was set
   * lately.
   */
  deletionTime(age_ms: number): number;
}
