/**
 * An append-only list of entries that several processes write by compare-and-set: each append names the expected newest
 * entry. So entries have one order, and each can refer to its predecessor. Both engines pass `conformance_ledger.ts`.
 * The content of an entry is up to its writer.
 */

/** How long entries are kept, and how many bytes of them. */
export interface LedgerRetention {
  readonly max_age_seconds: number;
  /** Bytes of all entries; above, the oldest are removed. */
  readonly max_bytes: number;
}

/** A stored entry. */
export interface LedgerEntry {
  /** The sequence number of the entry: 1, 2, 3 … without gaps, also after older entries were removed. */
  readonly offset: number;
  /** The reader's own copy. */
  readonly payload: Uint8Array;
}

/** The state of a ledger. */
export interface LedgerStatus {
  readonly entries: number;
  readonly bytes: number;
  /** Offset of the newest entry ever stored; 0: none yet. */
  readonly last_offset: number;
  /** Offset of the oldest stored entry; `last_offset + 1` if there is none. */
  readonly first_offset: number;
  /** When the oldest entry was stored, Unix ms; undefined when there is none. */
  readonly first_ms: number | undefined;
}

/** Which entries to read, the oldest first. */
export interface LedgerRead {
  /** Entries above this offset. */
  readonly after: number;
  /** The most entries, at least 1. */
  readonly limit: number;
}

/** A ledger. Its methods reject with `spine-unavailable` or `log-unavailable` (503) while the answer is not known. */
export interface Ledger {
  /**
   * Stores a copy as entry `after + 1`, and resolves with that once it is safe. Rejects with `version-conflict` (409),
   * having stored nothing, when the newest entry is not `after`. After a lost acknowledgement the stored entry is
   * compared with the payload, so payloads have to differ.
   */
  append(payload: Uint8Array, after: number): Promise<number>;
  /** The newest entry, read from the leader that orders the appends; undefined if there is none. */
  last(): Promise<LedgerEntry | undefined>;
  /**
   * Reads entries; may lag behind `last`. A page has fewer than `limit` entries only at the end, or because of its
   * size.
   */
  read(options: LedgerRead): Promise<LedgerEntry[]>;
  status(): Promise<LedgerStatus>;
}
