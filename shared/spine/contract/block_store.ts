/**
 * An append-only store of blocks of bytes by tenant and node, each with an age at which it expires. The journal of
 * decisions, the ledgers of usage and of deliveries and the audit log are such stores. Both engines pass
 * `conformance_blocks.ts`. The content of a block is up to its writer.
 */

/** The stores; they are independent of each other. Backups contain "usage" and "audit" only. */
export type BlockStoreName = "journal" | "usage" | "ledger" | "audit";
/** The stream of each store on NATS. */
export const BLOCK_STREAMS: Readonly<Record<BlockStoreName, string>> = {
  journal: "ARQON_JOURNAL",
  usage: "ARQON_USAGE",
  ledger: "ARQON_LEDGER",
  audit: "ARQON_AUDIT",
};
/**
 * Writers of folded blocks, beside the nodes; no node has such a name. The usage ledger folds minutes into hours, and
 * hours into days.
 */
export const FOLD_WRITERS = { hour: "+hour", day: "+day" } as const;
/** The most bytes of one block. Writers make much smaller ones. */
export const BLOCK_BYTES_MAX = 524_288;
/** Overhead of a block, as it counts towards the bounds. */
export const BLOCK_OVERHEAD_BYTES = 128;

/** What bounds the blocks of all tenants in a store. */
export interface BlockRetention {
  /** Bytes of all blocks; above, the oldest of any tenant are removed. NATS may grant less. */
  readonly max_bytes: number;
  /** No block is kept longer, whatever its own `ttl_seconds`. */
  readonly max_age_seconds: number;
}

/** A block to store. */
export interface BlockAppend {
  readonly tenant_id: string;
  /** The block's owner; one token as `isId` has it, or one of `FOLD_WRITERS`. */
  readonly node_id: string;
  /** How long it is kept, at least 1; Infinity: as long as the store keeps any, also when that is changed. */
  readonly ttl_seconds: number;
  /**
   * Bytes that the tenant's blocks of all nodes may take; above, its oldest are removed. NATS enforces the bound in
   * steps, so it is accurate to a quarter. Infinity: only the bound of all tenants counts.
   */
  readonly max_bytes: number;
  readonly payload: Uint8Array;
  /**
   * Idempotency key: a retry within two minutes stores nothing if an earlier attempt did. Absent: it is not retried.
   */
  readonly id?: string;
  /**
   * The cursor of the newest block of that tenant and node, 0 for none: if it differs, nothing is stored and the append
   * rejects with `version-conflict`. A retry after a lost answer may get that conflict, too.
   */
  readonly expected?: number;
}

/** A stored block. */
export interface StoredBlock {
  /** Grows from block to block of a tenant; there may be gaps. */
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
   * Without `after`: starts at the first block that was stored at or after this time, Unix ms by the engine's clock. If
   * the clock was set back, older blocks may follow.
   */
  readonly from_ms?: number;
  /** At most this many blocks, at least 1. */
  readonly limit: number;
}

/** Blocks in the order in which they were stored. */
export interface BlockPage {
  readonly blocks: readonly StoredBlock[];
  /** True: there were no more blocks at that time. False: the page ended at its byte bound or at `limit`. */
  readonly is_end: boolean;
}

/** The blocks of one tenant. */
export interface BlockStatus {
  readonly blocks: number;
  /** Approximate: see `BlockAppend.max_bytes`. */
  readonly bytes: number;
  /** When the oldest and the newest were stored, Unix ms; undefined when there are none. */
  readonly first_ms: number | undefined;
  readonly last_ms: number | undefined;
  /**
   * Unix ms: no block stored at or after this time was removed, except by age; undefined: none was. NATS cannot tell
   * removal for space from age or `remove`, so there the real time may be earlier.
   */
  readonly whole_ms: number | undefined;
}

/** How full a store is. */
export interface BlockRoom {
  readonly bytes: number;
  /** Above, the oldest blocks are removed. */
  readonly max_bytes: number;
  /** No block has a later time, Unix ms; at most 0: there is none. */
  readonly newest_ms: number;
  /** The cursor of the newest block ever stored, of any tenant; 0: none yet. */
  readonly last: number;
}

/**
 * The store. Its methods reject with `spine-unavailable` or `log-unavailable` (503) while the answer is unknown, or the
 * storage is full.
 */
export interface BlockStore {
  /**
   * Stores a copy, and resolves once it is safe. Only a few appends run at a time; the others are queued. Rejects with
   * `message-too-large` over `BLOCK_BYTES_MAX`.
   */
  append(block: BlockAppend): Promise<void>;
  /** May lag behind the newest appends. */
  read(options: BlockRead): Promise<BlockPage>;
  /** The newest block of a node, as the last append left it. */
  newest(tenant_id: string, node_id: string): Promise<StoredBlock | undefined>;
  /** Removes the blocks of a node below this cursor. They do not affect `BlockStatus.whole_ms`. */
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
