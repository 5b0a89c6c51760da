/**
 * An append-only list of entries that several processes write by compare-and-set: each append names
 * the entry that it takes for the newest. So entries have one order, and each can name the one
 * before it. Both engines pass `conformance_ledger.ts`. What an entry says is up to its writer.
 */

/** How long entries stay, and how many bytes of them. */
export interface LedgerRetention {
  readonly max_age_seconds: number;
  /** Bytes of all entries; with more the oldest are removed. */
  readonly max_bytes: number;
}

/** A stored entry. */
export interface LedgerEntry {
  /**
   * The number of the entry: 1 for the first, one more for each next one, also when older ones have
   * been removed.
   */
  readonly offset: number;
  /** The reader's own copy. */
  readonly payload: Uint8Array;
}

/** The state of a ledger. */
export interface LedgerStatus {
  readonly entries: number;
  readonly bytes: number;
  /** Offset of the newest entry that there ever was; 0: none yet. */
  readonly last_offset: number;
  /** Offset of the oldest entry that is there; `last_offset + 1` when there is none. */
  readonly first_offset: number;
  /** When the oldest entry was stored, Unix ms; undefined when there is none. */
  readonly first_ms: number | undefined;
}

/** Which entries to read, the oldest first. */
export interface LedgerRead {
  /** Entries above this offset. */
  readonly after: number;
  /** At most so many entries, at least 1. */
  readonly limit: number;
}

/**
 * A ledger. Its methods reject with `spine-unavailable` or `log-unavailable` (503) while the answer
 * is not known.
 */
export interface Ledger {
  /**
   * Stores a copy as entry `after + 1`, and resolves with that once it is safe. Rejects with
   * `version-conflict` (409), having stored nothing, when the newest entry is not `after`. A lost
   * acknowledgement is resolved by the entry itself, so payloads have to differ.
   */
  append(payload: Uint8Array, after: number): Promise<number>;
  /** The newest entry, as known where appends are decided; undefined when there is none. */
  last(): Promise<LedgerEntry | undefined>;
  /**
   * Reads entries; may be behind `last`. A page is short of `limit` only at the end, or because it
   * is large.
   */
  read(options: LedgerRead): Promise<LedgerEntry[]>;
  status(): Promise<LedgerStatus>;
}
