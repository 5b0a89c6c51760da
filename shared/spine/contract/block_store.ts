/**
 * Where blocks of bytes are kept: append-only, by tenant and node, each with an age at which it goes. The
 * journal of decisions is in one such store, and so are the ledgers of use and of deliveries. Both engines pass `conformance_blocks.ts`. What a block
 * says is up to its writer.
 */

/** The stores that there are. What one holds concerns no other one; of backups, "usage" is in them. */
export type BlockStoreName = "journal" | "usage" | "ledger";
/** The stream of each store on NATS. */
export const BLOCK_STREAMS: Readonly<Record<BlockStoreName, string>> = {
  journal: "ARQON_JOURNAL",
  usage: "ARQON_USAGE",
  ledger: "ARQON_LEDGER",
};
/**
 * Who stores blocks that were made of others' blocks, beside nodes. No node has such a name. Of the ledger of use:
 * hours made of minutes, and days made of hours.
 */
export const FOLD_WRITERS = { hour: "+hour", day: "+day" } as const;
/** The most bytes of one block. A writer makes them much smaller. */
export const BLOCK_BYTES_MAX = 524_288;
/** What a block takes beside its own bytes, as it counts for bounds. */
export const BLOCK_OVERHEAD_BYTES = 128;

/** What bounds the blocks of all tenants in a store. */
export interface BlockRetention {
  /** Bytes of all blocks; with more the oldest go, whose they are. NATS may promise less. */
  readonly max_bytes: number;
  /** No block stays longer, whatever its own age is. */
  readonly max_age_seconds: number;
}

/** A block to store. */
export interface BlockAppend {
  readonly tenant_id: string;
  /** The block's owner; one token as `isId` has it, or one of `FOLD_WRITERS`. */
  readonly node_id: string;
  /** How long it stays, at least 1. */
  readonly ttl_seconds: number;
  /**
   * Bytes that the tenant's blocks of all nodes may take; with more its oldest go. On NATS the bound holds
   * within a quarter, for it is kept in steps.
   */
  readonly max_bytes: number;
  readonly payload: Uint8Array;
  /**
   * Names the block: an append that is tried again after a rejection stores nothing when the one before did, if
   * that was in the last two minutes. Absent: it is not tried again.
   */
  readonly id?: string;
  /**
   * The cursor of the newest block of that tenant and node, 0 for none: with another one nothing is stored, and the
   * append rejects with `version-conflict`. What was stored without an answer may be refused when it is tried again.
   */
  readonly expected?: number;
}

/** A stored block. */
export interface StoredBlock {
  /** Grows from block to block of a tenant; numbers may be left out. */
  readonly cursor: number;
  readonly node_id: string;
  /** When it was stored, Unix ms by the engine's clock. */
  readonly time_ms: number;
  /** The reader's own copy. */
  readonly payload: Uint8Array;
}

/** Which blocks to read, the oldest first. */
export interface BlockRead {
  readonly tenant_id: string;
  /** Blocks above this cursor; absent: from the oldest on. */
  readonly after?: number;
  /**
   * Without `after`: from the first block on that was stored then or later, Unix ms by the engine's clock. Of a
   * clock that was set back the page may have older ones behind it.
   */
  readonly from_ms?: number;
  /** At most so many blocks, at least 1. */
  readonly limit: number;
}

/** Blocks in the order in which they were stored. */
export interface BlockPage {
  readonly blocks: readonly StoredBlock[];
  /** There were no more at that time; else the page is short because it is large, or of `limit`. */
  readonly is_end: boolean;
}

/** The blocks of one tenant. */
export interface BlockStatus {
  readonly blocks: number;
  /** About: see `BlockAppend.max_bytes`. */
  readonly bytes: number;
  /** When the oldest and the newest were stored, Unix ms; undefined when there are none. */
  readonly first_ms: number | undefined;
  readonly last_ms: number | undefined;
  /**
   * None has gone that was stored then or later, but by its age, Unix ms; undefined: none has gone. NATS does not
   * tell want of room from age, nor from `remove`: there blocks may be whole for longer than it says.
   */
  readonly whole_ms: number | undefined;
}

/** How full a store is. */
export interface BlockRoom {
  readonly bytes: number;
  /** Above, the oldest go. */
  readonly max_bytes: number;
}

/**
 * The store. Its methods reject with `spine-unavailable` or `log-unavailable` (503) while the answer is
 * not known, or the storage takes no more.
 */
export interface BlockStore {
  /**
   * Stores a copy, and resolves once it is safe. Few are under way at a time; the others wait in line.
   * Rejects with `message-too-large` over `BLOCK_BYTES_MAX`.
   */
  append(block: BlockAppend): Promise<void>;
  /** May be behind what was appended a moment ago. */
  read(options: BlockRead): Promise<BlockPage>;
  /** The newest block of a node, as the last append left it. */
  newest(tenant_id: string, node_id: string): Promise<StoredBlock | undefined>;
  /** Removes the blocks of a node below this cursor. They do not count as gone in `BlockStatus.whole_ms`. */
  remove(tenant_id: string, node_id: string, below: number): Promise<void>;
  /** The tenants that have blocks, in no order. */
  tenants(): Promise<readonly string[]>;
  status(tenant_id: string): Promise<BlockStatus>;
  /** How far the engine's clock is ahead of this process's, in ms; below 0: behind. */
  aheadMs(): Promise<number>;
  room(): Promise<BlockRoom>;
  /** Removes every block of the tenant. */
  purge(tenant_id: string): Promise<void>;
}
