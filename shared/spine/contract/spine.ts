/**
 * What every Spine engine offers. Two implementations, `embedded.ts` and `nats.ts`, and one
 * conformance suite, `conformance.ts`, that both pass. Errors are `ArqonError` with reason
 * `spine-unavailable` (503) unless a method says otherwise.
 */
import type { Subject, SubjectPattern } from "../../subjects/subject.ts";
import type { DurableLog, Retention } from "./durable_log.ts";
import type { BlockRetention, BlockStore, BlockStoreName } from "./block_store.ts";
import type { Ledger, LedgerRetention } from "./ledger.ts";

/** Header names are case-sensitive here and lower case by convention. */
export type SpineHeaders = Readonly<Record<string, string>>;

/** A message as its receiver gets it. */
export interface SpineMessage {
  readonly subject: string;
  /** The receiver's own copy; stays valid. */
  readonly payload: Uint8Array;
  readonly headers: SpineHeaders;
  /** Present when the sender waits for a reply; `respond` then sends one. */
  readonly reply?: string;
  /** Throws what `publish` throws, but works while draining. Does nothing when nobody waits. */
  respond(payload: Uint8Array, headers?: SpineHeaders): void;
}

/** How to subscribe. */
export interface SubscribeOptions {
  /** Members of one queue group share the messages: each goes to one of them. */
  queue?: string;
  /**
   * The handler only reads a payload, and not after it has returned: the engine may show it bytes that
   * are somebody else's.
   */
  reads_only?: boolean;
  /** How a payload is copied; absent: into a buffer of its own. */
  copy?: PayloadCopy;
}

/**
 * Copies the bytes `from` up to `to` for a receiver, who has a reason to lay them where it wants. An engine
 * that makes no copy, or one for others too, does not call it. Must not throw.
 */
export type PayloadCopy = (bytes: Uint8Array, from: number, to: number) => Uint8Array;

/** A subscription that runs until it is ended. */
export interface Subscription {
  readonly pattern: string;
  /** Stops delivery at once. Calling it twice is harmless. */
  unsubscribe(): void;
  /**
   * Takes nothing new, delivers what is already on its way here, then resolves. Rejects with 503
   * when the server cannot say that this was all; delivery has then stopped as well.
   */
  drain(): Promise<void>;
}

/** How long to wait for the answer to a request. */
export interface RequestOptions {
  timeout_ms: number;
  headers?: SpineHeaders;
}

/** The state of an engine's connection. The embedded engine is `connected` until it is closed. */
export type SpineState = "connecting" | "connected" | "disconnected" | "draining" | "closed";

/** What health checks and metrics show of an engine. */
export interface SpineStatus {
  readonly engine: "embedded" | "nats";
  readonly state: SpineState;
  /** Unix ms of the last change of `state`. */
  readonly since_ms: number;
  readonly reconnects: number;
  /** Bytes handed over and not yet delivered (embedded) or confirmed by a flush (NATS). For metrics. */
  readonly pending_bytes: number;
  /** How often messages were lost because a subscription was too slow. For metrics. */
  readonly slow_consumers: number;
  /** For NATS: the server's address and version. */
  readonly server?: string;
  /** For the embedded engine: names the time from its start to its end; nobody else has its data. */
  readonly life?: string;
  /** With `life`: Unix ms of the start. */
  readonly started_ms?: number;
}

/** How much storage there is. On a cluster each message counts once, whatever copies there are. */
export interface StorageReport {
  readonly used_bytes: number;
  /** The bytes that everything with a bound may grow to. */
  readonly promised_bytes: number;
  /** The bytes that there are; undefined: not known. */
  readonly limit_bytes: number | undefined;
  /** Tenants that have a log of their own. */
  readonly logs: number;
  /** Streams that other tenants share. */
  readonly shared_streams: number;
  /** Streams that this process uses and that nothing bounds. */
  readonly unbounded: readonly string[];
}

/**
 * `gap`: messages for this pattern may have been lost (reconnect, slow consumer); with `pattern`
 * undefined, any subscription may be affected. `denied`: the server did not take one message, because
 * this process may not publish on that subject; it comes after the publish, before its flush resolves.
 * `log`: what a tenant's log has taken may not have reached its subscribers, for it has moved to
 * another server. `unstored`: a write failed for want of room, or of a disk that works.
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
   * Hands a copy of the payload to the engine; delivery is asynchronous. Throws 503 while the engine
   * is not connected (nothing is dropped in silence) and `message-too-large` over `payload_bytes_max`.
   */
  publish(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void;
  /**
   * As `publish`, but the payload is given away: its bytes must not change any longer, and the engine
   * need not copy them. Whoever has them reads them only. It is for messages whose sender can be notified
   * no: throws 503 also while the server has confirmed nothing for longer than an answer may take.
   */
  give(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void;
  /**
   * Resolves when everything published and subscribed before in this turn is with the server. One
   * round trip a turn for all callers. Rejects with 503 when the connection drops or nothing answers
   * in time, and at once while an earlier one still has no answer. Call it in the turn of the publish that it confirms: it says nothing about what was
   * published before a reconnect.
   */
  flush(): Promise<void>;
  /** A handler that throws is logged and does not end the subscription. */
  subscribe(
    pattern: SubjectPattern | Subject,
    handler: (message: SpineMessage) => void,
    options?: SubscribeOptions,
  ): Subscription;
  /** Rejects with `brain-unavailable` when nobody listens and `command-timeout` when nobody answers in time. */
  request(subject: Subject, payload: Uint8Array, options: RequestOptions): Promise<SpineMessage>;

  /** Opens, and if need be creates, a key-value bucket. Name: `[A-Z0-9_]+`. */
  keyValue(bucket: string, options?: KeyValueOptions): Promise<KeyValue>;

  /** Opens, and if need be creates, a store of larger objects. Name: `[A-Z0-9_]+`. */
  objects(bucket: string): Promise<ObjectStore>;

  /**
   * Opens, and if need be creates, the log of the tenant's durable rooms; what it keeps grows to
   * `retention`. One object a tenant. Rejects with `log-unavailable`.
   */
  log(tenant_id: string, retention: Retention): Promise<DurableLog>;

  /**
   * Opens, and if need be creates, a ledger, and makes what it keeps exactly that. Name: `[A-Z0-9_]+`;
   * on NATS it is the stream's.
   */
  ledger(name: string, retention: LedgerRetention): Promise<Ledger>;

  /**
   * Opens a store of blocks; it is made, and gets those bounds, with the first block at the latest. Rejects
   * with `log-unavailable` or `spine-unavailable`; everything else goes on without it.
   */
  blocks(name: BlockStoreName, retention: BlockRetention): Promise<BlockStore>;

  /**
   * All that the engine keeps but stores of blocks, at one moment. Throws `too-many-pending` while there is another backup,
   * `invalid-settings` when nothing outlives the process. Absent: a server has the state, and is asked
   * itself.
   */
  readonly backup?: () => SpineBackup;

  /**
   * Writes the engine's files anew without what was removed from them. The process does nothing else meanwhile. Rejects
   * with `too-many-pending` while there is a backup. Absent: a server has the files, and removes bytes by its own settings.
   */
  readonly scrub?: () => Promise<void>;

  /** Asks how much storage there is. Rejects when nobody answers, or this process may not ask. */
  storage(): Promise<StorageReport>;

  /**
   * Stores so many bytes and takes them away again: resolves when what is written is kept now, and
   * what has lately left a question unanswered answers again. Else rejects with `spine-unavailable` or
   * `log-unavailable`, whose message says what is full or gone.
   */
  proveStorage(size_bytes: number): Promise<void>;

  /** Stops taking new work, delivers what is under way, then closes. Idempotent. */
  drain(): Promise<void>;
}

/** What an engine of one process keeps, at one moment. To be released, also when it was not read. */
export interface SpineBackup {
  /** Unix ms. */
  readonly taken_ms: number;
  readonly files: readonly {
    readonly name: "spine.sqlite" | "log.sqlite" | "usage.sqlite";
    readonly size_bytes: number;
    /** Last revision of each `bucket:NAME`, last number of each `ledger:NAME`, `log:TENANT` and `use:TENANT`. */
    readonly sequences: Readonly<Record<string, number>>;
    /** Rejects when the backup has ended meanwhile. */
    read(): AsyncIterable<Uint8Array>;
  }[];
  /** What was written since and waits for its end. */
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
  /**
   * Its storage is made if need be, and left as it is if not: this process may not change it, another
   * one keeps it.
   */
  readonly leaves_stream?: boolean;
  /**
   * Nobody watches it: that a key was deleted is remembered for a minute, and takes no storage after
   * that; absent: for a day.
   */
  readonly unwatched?: boolean;
}

/** A value with its key and revision. */
export interface KvEntry {
  readonly key: KvKey;
  readonly value: Uint8Array;
  /** Grows with every write of the bucket; unique within it. */
  readonly revision: number;
  /**
   * How long ago it was written, in ms by the clock of the store, which is the same for all processes. Absent
   * where the store has none of its own, and in what a watch tells.
   */
  readonly age_ms?: number;
}

/** How large a value is. */
export interface KvSize {
  readonly key: KvKey;
  /** Bytes of the value as it is stored. */
  readonly size_bytes: number;
}

/** What a watch tells: the entry that was put, or the key that is gone. */
export type KvChange =
  | ({ readonly type: "put" } & KvEntry)
  | {
    readonly type: "delete";
    readonly key: KvKey;
    readonly value?: undefined;
    readonly revision: number;
  };

/** How to watch. */
export interface WatchOptions {
  /** Only keys with at most so many tokens more than the prefix; absent: all at and below it. */
  readonly depth?: number;
}

/** A watch that runs until it is stopped. */
export interface KvWatch {
  /** Resolves when the state at the time of the call has been delivered; rejects when it ends before. */
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
  /** Deletes, if `expected_revision` is given only at that revision (else 409). Deleting nothing is fine. */
  delete(key: KvKey, expected_revision?: number): Promise<void>;
  /** Keys at and below `prefix`, token by token, in no order. */
  keys(prefix?: KvKey): Promise<KvKey[]>;
  /** The keys with the sizes of their values; the values themselves are not read. */
  sizes(prefix?: KvKey): Promise<KvSize[]>;
  /** Bytes that the bucket takes at most, its keys included; undefined: only the disk bounds it. */
  readonly limit_bytes: number | undefined;
  /**
   * Delivers the present state at and below `prefix`, then changes in order; of several writes to one
   * key in quick succession only the last may come. After a reconnect the engine relists: a change
   * may come twice, no key's last state is missed, and what was deleted meanwhile is delivered as a
   * delete.
   */
  watch(prefix: KvKey, onChange: (change: KvChange) => void, options?: WatchOptions): KvWatch;
}

/**
 * A bucket of named byte strings that do not fit into a key-value value. A name is 1 to 128 of
 * `[A-Za-z0-9_.=-]` (TypeError otherwise). No revisions: who needs them names objects by content.
 */
export interface ObjectStore {
  /**
   * Stores a copy under the name; last write wins, and until it is complete readers get what was there
   * before. Throws `message-too-large` over `OBJECT_BYTES_MAX`.
   */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /**
   * The whole object, or undefined when there is none. Its digest has been checked: bytes that are
   * not those that were put reject with `internal`.
   */
  get(name: string): Promise<Uint8Array | undefined>;
  /** Deleting nothing is fine. */
  delete(name: string): Promise<void>;
  /** All objects, in no order. One that is stored or deleted meanwhile may be there or not. */
  list(): Promise<StoredObject[]>;
}

/** An object without its bytes. */
export interface StoredObject {
  readonly name: string;
  readonly size_bytes: number;
  /** Unix ms by the engine's clock: when it was last put. */
  readonly modified_ms: number;
}
