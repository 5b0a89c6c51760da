/**
 * What every Spine engine offers. Two implementations, `embedded.ts` and `nats.ts`, and one
 * conformance suite, `conformance.ts`, that both pass. Errors are `ArqonError` with reason
 * `spine-unavailable` (503) unless a method says otherwise.
 */
import type { Subject, SubjectPattern } from "../../subjects/subject.ts";
import type { DurableLog, Retention } from "./durable_log.ts";
import type { BlockRetention, BlockStore, BlockStoreName } from "./block_store.ts";
import type {
  SpineHeaders,
  SpineMessage,
  SubscribeOptions,
  Subscription,
} from "./spine_message.ts";

/** How long to wait for the answer to a request. */
export interface RequestOptions {
  timeout_ms: number;
  headers?: SpineHeaders;
}

/** The state of an engine's connection. The embedded engine is `connected` until it is closed. */
export type SpineState = "connecting" | "connected" | "disconnected" | "draining" | "closed";

/** The state of an engine for health checks and metrics. */
export interface SpineStatus {
  readonly engine: "embedded" | "nats";
  readonly state: SpineState;
  /** Unix ms of the last change of `state`. */
  readonly since_ms: number;
  readonly reconnects: number;
  /** Bytes published and not yet delivered (embedded) or confirmed by a flush (NATS). For metrics. */
  readonly pending_bytes: number;
  /** How often messages were lost because a subscription was too slow. For metrics. */
  readonly slow_consumers: number;
  /** For NATS: the server's address and version. */
  readonly server?: string;
  /** For the embedded engine: the id of this run, from start to end; no other process has its data. */
  readonly life?: string;
  /** With `life`: Unix ms of the start. */
  readonly started_ms?: number;
}

/** How much storage there is. On a cluster each message counts once, whatever copies there are. */
export interface StorageReport {
  readonly used_bytes: number;
  /** The sum of all bounds in bytes. */
  readonly promised_bytes: number;
  /** The available bytes in total; undefined: unknown. */
  readonly limit_bytes: number | undefined;
  /** Tenants with a log of their own. */
  readonly logs: number;
  /** Streams that other tenants share. */
  readonly shared_streams: number;
  /** Streams without a bound that this process uses. */
  readonly unbounded: readonly string[];
}

/**
 * `gap`: messages for this pattern may have been lost (reconnect, slow consumer); with `pattern` undefined, any
 * subscription may be affected. `denied`: the server rejected one message or subscription, because this process may not
 * use that subject, or has too many subscriptions (""); it comes before the flush that follows resolves. `log`: stored
 * messages of a tenant may not have reached its subscribers, because its log moved to another server. `unstored`: a
 * write failed because the disk is full or broken.
 */
export type SpineEvent =
  | { type: "state"; status: SpineStatus }
  | { type: "denied"; subject: string }
  | { type: "log"; tenant_id: string }
  | { type: "unstored"; error: unknown }
  | { type: "gap"; pattern: string | undefined; reason: "reconnect" | "slow-consumer" };

/** The transport between Shields and Brains. */
export interface Spine {
  readonly status: SpineStatus;
  /** Largest payload that `publish` takes, in bytes. */
  readonly payload_bytes_max: number;
  /** Calls `listener` for every event until the returned function is called. */
  onEvent(listener: (event: SpineEvent) => void): () => void;

  /**
   * Publishes a copy of the payload; delivery is asynchronous. Throws 503 while the engine is not connected (nothing is
   * dropped silently) and `message-too-large` over `payload_bytes_max`.
   */
  publish(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void;
  /**
   * As `publish`, but without a copy: the caller must not change the bytes later, and receivers only read them. For
   * messages whose sender can be refused: throws 503 also while the server has confirmed nothing for longer than the
   * request timeout.
   */
  give(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void;
  /**
   * Resolves when the server has received every publish and subscribe of this turn so far. One round trip a turn for
   * all callers. Rejects with 503 when the connection drops, no answer arrives in time or the server denies one of them
   * that is about a room, and at once while an earlier flush is overdue. Call it in the turn of the publish that it
   * confirms: it does not cover publishes before a reconnect.
   */
  flush(): Promise<void>;
  /** A handler that throws is logged and does not end the subscription. */
  subscribe(
    pattern: SubjectPattern | Subject,
    handler: (message: SpineMessage) => void,
    options?: SubscribeOptions,
  ): Subscription;
  /** Rejects with `brain-unavailable` without a responder and `command-timeout` without an answer in time. */
  request(subject: Subject, payload: Uint8Array, options: RequestOptions): Promise<SpineMessage>;

  /** Opens a key-value bucket; creates it if missing. Name: `[A-Z0-9_]+`. */
  keyValue(bucket: string, options?: KeyValueOptions): Promise<KeyValue>;

  /** Opens a store of larger objects; creates it if missing. Name: `[A-Z0-9_]+`. */
  objects(bucket: string): Promise<ObjectStore>;

  /**
   * Opens the log of the tenant's durable rooms; creates it if missing, and raises its retention to `retention`. One
   * object a tenant. Rejects with `log-unavailable`.
   */
  log(tenant_id: string, retention: Retention): Promise<DurableLog>;

  /** The log of a tenant that has one, whatever it keeps by now; undefined: there is none. Rejects as `log`. */
  existingLog(tenant_id: string): Promise<DurableLog | undefined>;

  /**
   * Opens a store of blocks; it is created with these bounds at the first block at the latest, "audit" now. Rejects
   * with `log-unavailable` or `spine-unavailable`; the rest of the engine works without it.
   */
  blocks(name: BlockStoreName, retention: BlockRetention): Promise<BlockStore>;

  /**
   * A consistent backup of the engine's data, without stores of blocks other than usage and audit. Throws
   * `too-many-pending` during another backup, and `invalid-settings` if the data are in memory. Absent: the
   * data are on a server, which has its own backups.
   */
  readonly backup?: () => SpineBackup;

  /**
   * Rewrites the engine's files without the bytes of removed data. Blocks the process meanwhile. Rejects with
   * `too-many-pending` during a backup. Absent: the files are on a server, which removes bytes by its own settings.
   */
  readonly scrub?: () => Promise<void>;

  /** The storage and its use. Rejects without an answer, or if this process may not ask. */
  storage(): Promise<StorageReport>;

  /**
   * Writes and deletes this many bytes: resolves if writes are stored now and streams that lately did not answer do
   * again. Otherwise rejects with `spine-unavailable` or `log-unavailable`; the message names what is full or missing.
   */
  proveStorage(size_bytes: number): Promise<void>;

  /** Refuses new work, delivers messages under way, then closes. Idempotent. */
  drain(): Promise<void>;
}

/** A consistent backup of an embedded engine. Must be released, even if it was not read. */
export interface SpineBackup {
  /** Unix ms. */
  readonly taken_ms: number;
  readonly files: readonly {
    readonly name: "spine.sqlite" | "log.sqlite" | "usage.sqlite" | "audit.sqlite";
    readonly size_bytes: number;
    /** Last revision of each `bucket:NAME`, last number of each `log:TENANT` and `use:TENANT`, and of `audit`. */
    readonly sequences: Readonly<Record<string, number>>;
    /** Rejects if the backup has ended. */
    read(): AsyncIterable<Uint8Array>;
  }[];
  /** Bytes kept beside the files until the backup ends: replaced pages and the write-ahead log. */
  waiting_bytes(): number;
  /** Ends the backup; calling it twice is harmless. */
  release(): void;
}

/** A key is a list of tokens, each any non-empty text; engines encode each token (base64url). */
export type KvKey = readonly string[];

/** How to open a bucket. */
export interface KeyValueOptions {
  /**
   * For a bucket that other tools read and write too: keys are stored as their tokens with dots
   * between (printable ASCII without dots, white space, `*` and `>`), values as they are. Only the
   * view is plain: a bucket opened both ways is one bucket, and each view shows the keys that it can read.
   */
  readonly plain?: boolean;
  /** Creates missing storage and never changes existing storage: another process owns its configuration. */
  readonly leaves_stream?: boolean;
  /** The bucket has no watchers: tombstones of deleted keys expire after a minute; absent: after a day. */
  readonly unwatched?: boolean;
}

/** A value with its key and revision. */
export interface KvEntry {
  readonly key: KvKey;
  readonly value: Uint8Array;
  /** Grows with every write to the bucket; unique within it. */
  readonly revision: number;
  /**
   * Age of the entry in ms by the clock of the store, the same for all processes. Absent if the store has no clock, and
   * in a watch.
   */
  readonly age_ms?: number;
}

/** A compare-and-set write, as of `KeyValue.update`. */
export interface KvUpdate {
  readonly key: KvKey;
  readonly value: Uint8Array;
  readonly expected_revision: number;
}

/** How large a value is. */
export interface KvSize {
  readonly key: KvKey;
  /** Bytes of the value as it is stored. */
  readonly size_bytes: number;
}

/** A change from a watch: the entry that was put, or the key that was deleted. */
export type KvChange =
  | ({ readonly type: "put" } & KvEntry)
  | {
    readonly type: "delete";
    readonly key: KvKey;
    readonly value?: undefined;
    readonly revision: number;
    /** The bucket has it no longer, and no deletion of the last day says why: the store may be lost. */
    readonly is_lost?: true;
  };

/** How to watch. */
export interface WatchOptions {
  /** Only keys with at most this many more tokens than the prefix; absent: all at and below it. */
  readonly depth?: number;
}

/** A watch that runs until it is stopped. */
export interface KvWatch {
  /**
   * Resolves when the state at the time of the call has been delivered; rejects if the watch ends earlier. A caller may
   * ignore that.
   */
  readonly ready: Promise<void>;
  stop(): void;
}

/** A bucket of versioned values. */
export interface KeyValue {
  get(key: KvKey): Promise<KvEntry | undefined>;
  /** Last write wins. Returns the new revision. */
  put(key: KvKey, value: Uint8Array): Promise<number>;
  /**
   * Compare-and-set: writes only if the key's revision is `expected_revision` (0: the key must not
   * exist). Returns the new revision; throws `version-conflict` (409) otherwise. A lost
   * acknowledgement is resolved by a nonce in the stored value (in a plain bucket, by the value
   * itself), so the answer is never a guess.
   */
  update(key: KvKey, value: Uint8Array, expected_revision: number): Promise<number>;
  /** The key's last write: its entry, or its deletion while the store keeps that; undefined: neither. */
  last(key: KvKey): Promise<KvChange | undefined>;
  /**
   * Compare-and-set against the last write as `last` returned it. Unlike `update` with 0, it does not create a key that
   * was written and deleted meanwhile.
   */
  replace(key: KvKey, value: Uint8Array, last: KvChange | undefined): Promise<number>;
  /**
   * `update` of several different keys; returns their revisions, or rejects as `update` does. The last key is written
   * when all others are stored. After a failure some of the others may be stored; embedded, it is one transaction.
   */
  updateAll(updates: readonly KvUpdate[]): Promise<number[]>;
  /** Deletes a key; with `expected_revision` only at that revision (else 409). A missing key is no error. */
  delete(key: KvKey, expected_revision?: number): Promise<void>;
  /** Keys at and below `prefix`, token by token, in no order. */
  keys(prefix?: KvKey): Promise<KvKey[]>;
  /** The keys with the sizes of their values; the values themselves are not read. */
  sizes(prefix?: KvKey): Promise<KvSize[]>;
  /** Unix ms by the clock of the store, the same for all processes; absent: it has none of its own. */
  readonly storeTime?: () => Promise<number>;
  /** The bucket's bound in bytes, keys included; undefined: only the disk bounds it. */
  readonly limit_bytes: number | undefined;
  /**
   * Delivers the present state at and below `prefix`, then changes in order; of several quick writes to one key
   * possibly only the last. After a reconnect the engine relists: a change may be delivered twice, no key's last state
   * is missed, and keys deleted meanwhile are delivered as deletes.
   */
  watch(prefix: KvKey, onChange: (change: KvChange) => void, options?: WatchOptions): KvWatch;
}

/**
 * A bucket of named byte strings that do not fit into a key-value value. A name is 1 to 128 of `[A-Za-z0-9_.=-]`
 * (TypeError otherwise). There are no revisions: callers that need them name objects by content.
 */
export interface ObjectStore {
  /**
   * Stores a copy under the name; last write wins, and readers get the previous object until it is complete. Throws
   * `message-too-large` over `OBJECT_BYTES_MAX`.
   */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** The whole object, or undefined when there is none. Its digest is checked: corrupt bytes reject with `internal`. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** A missing object is no error. */
  delete(name: string): Promise<void>;
  /** All objects, in no order. Objects stored or deleted meanwhile may be listed or not. */
  list(): Promise<StoredObject[]>;
}

/** An object without its bytes. */
export interface StoredObject {
  readonly name: string;
  readonly size_bytes: number;
  /** Unix ms by the engine's clock: when it was last put. */
  readonly modified_ms: number;
}
