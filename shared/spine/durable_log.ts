/**
 * The logs of durable rooms as a Spine engine offers them: one a tenant, with one running number for
 * all its rooms. Both engines pass `conformance_log.ts`. What a log has taken comes to subscribers on
 * `in.t.{tenant}.r.{room}` with the headers below, as a JetStream stream republishes it. Errors are
 * `ArqonError`s with reason `log-unavailable` (503), or `spine-unavailable` while the Spine is down.
 */
import type { SpineHeaders } from "./spine.ts";

/** Names the incarnation of the log that took the message; another one after the log was lost. */
export const LOG_STREAM_HEADER = "Nats-Stream";
/** The message's offset. */
export const LOG_OFFSET_HEADER = "Nats-Sequence";
/** Offset of the message before it that the log had of this room then; "0" when it had none. */
export const LOG_PREVIOUS_HEADER = "Nats-Last-Sequence";
/** When the log took it: RFC 3339. */
export const LOG_TIME_HEADER = "Nats-Time-Stamp";

/** Repeated keys are known for this long. */
export const LOG_DEDUPLICATION_MS = 120_000;

/** Bounds of the logs, as `[durable]` and `[limits]` of the configuration have them. */
export interface LogLimits {
  /** Largest log in bytes: of a tenant on NATS, of all tenants in the embedded engine. */
  readonly log_bytes: number;
  /** Appends under way in this process; above, they are refused. */
  readonly pending_messages: number;
  /** Their payload bytes; likewise. */
  readonly pending_bytes: number;
  /** How the embedded engine writes its file; see `[durable] synchronous`. */
  readonly synchronous: "off" | "normal" | "full";
}

/** The limits of who has no configuration. */
export const LOG_LIMITS: LogLimits = {
  log_bytes: 1_073_741_824,
  pending_messages: 65_536,
  pending_bytes: 67_108_864,
  synchronous: "normal",
};

/** What a log keeps. */
export interface Retention {
  /** Newest messages of each room. */
  readonly history_size: number;
  readonly history_ttl_seconds: number;
  /** Copies on a NATS cluster; undefined: 3 there, else 1. Without a meaning in the embedded engine. */
  readonly replicas: number | undefined;
}

/** How to append. */
export interface AppendOptions {
  /** Appends to one room with the same key within `LOG_DEDUPLICATION_MS` are stored once. */
  readonly key?: string;
  /** Stored with the message. */
  readonly headers?: SpineHeaders;
}

/** What became of an append. */
export interface Appended {
  readonly offset: number;
  /** It was stored before, at that offset. */
  readonly duplicate: boolean;
  readonly stream: string;
}

/** A stored message. */
export interface LogMessage {
  readonly offset: number;
  /** When the log took it; Unix ms by the log's clock. */
  readonly time_ms: number;
  /** The reader's own copy. */
  readonly payload: Uint8Array;
  readonly headers: SpineHeaders;
}

/** Which messages to read forward. */
export interface LogRead {
  /** Those above this offset. */
  readonly after: number;
  /** At most so many, at least 1. */
  readonly limit: number;
  /** About so many bytes; at least one message comes. */
  readonly max_bytes: number;
}

/** Which messages to read backward. */
export interface LogReadBack extends Omit<LogRead, "after"> {
  /** Those below this offset; 0: the newest. */
  readonly before: number;
}

/** Messages in the order of their offsets. */
export interface LogPage {
  readonly stream: string;
  readonly messages: readonly LogMessage[];
  /**
   * Nothing that came after `after` has been removed before the first message here (before the end,
   * when there is none). False also when the log cannot tell. Of `readBack`: always false.
   */
  readonly complete: boolean;
  /** There are more in this direction. */
  readonly more: boolean;
}

/** Where a room stands. */
export interface RoomHead {
  readonly stream: string;
  /** The room's newest message; undefined when the log has none. */
  readonly last: LogMessage | undefined;
  /** The highest offset that the log has given to any room; no position can be above it. */
  readonly log_offset: number;
}

/** Where a log stands; for metrics and operators. */
export interface LogStatus extends Retention {
  readonly stream: string;
  readonly messages: number;
  readonly bytes: number;
  readonly log_offset: number;
}

/** The log of one tenant. Opening one that was lost or deleted makes a new one, with a new `stream`. */
export interface DurableLog {
  readonly tenant_id: string;
  /** The incarnation that this process knows. */
  readonly stream: string;
  /**
   * Stores a copy and resolves when it is safe: with NATS on its replicas, embedded in the file. Never
   * tries again once the message may have been stored: who repeats it gives a `key`. Appends of one
   * caller to one room are stored in the order of the calls.
   */
  append(room_id: string, payload: Uint8Array, options?: AppendOptions): Promise<Appended>;
  /** Sees every append that was acknowledged before the call. */
  head(room_id: string): Promise<RoomHead>;
  /** The offset of each room's newest message, by room; may be behind. Rooms without one are left out. */
  heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** May be behind `head`: then it ends early, with `more` false. */
  read(room_id: string, options: LogRead): Promise<LogPage>;
  readBack(room_id: string, options: LogReadBack): Promise<LogPage>;
  /** How many messages of a room there are from this offset on; may be behind `head`. */
  count(room_id: string, from: number): Promise<number>;
  /** Removes all but the newest `keep` messages of a room. */
  trim(room_id: string, keep: number): Promise<void>;
  /** Grows what is kept; with `shrink` makes it exactly that. */
  retain(retention: Retention, shrink?: boolean): Promise<void>;
  status(): Promise<LogStatus>;
  /** The log's clock: Unix ms. It does not jump with this process's wall clock. */
  now(): number;
}
