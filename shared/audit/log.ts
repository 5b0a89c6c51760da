/**
 * The audit log: a store of blocks whose blocks are its entries, all of one writer's name. An entry's number is its
 * cursor: 1, 2, 3 … without gaps, also after older entries were removed. Each append names the newest entry, so that
 * all Shields write one chain.
 */
import type { Config } from "../config/schema.ts";
import type { BlockStore, StoredBlock } from "../spine/contract/block_store.ts";
import { isConflict } from "../spine/contract/compare_and_set.ts";
import type { Spine } from "../spine/contract/spine.ts";
import type { Anchor } from "./chain.ts";
import { entryHash, NO_HASH } from "./entry.ts";

const DAY_SECONDS = 86_400;
/** The log belongs to no tenant: its store has no other blocks. */
const TENANT = "bus";
const NODE = "audit";

/** The state of the log. */
export interface AuditStatus {
  readonly bytes: number;
  /** Number of the newest entry ever stored; 0: none yet. */
  readonly last: number;
  /** Number of the oldest stored entry; `last + 1` if there is none. */
  readonly first: number;
  /** When that was stored, Unix ms; undefined if there is none. */
  readonly first_ms: number | undefined;
}

/** The open log. Its methods reject as the store does. */
export class AuditLog {
  readonly #store: BlockStore;

  constructor(store: BlockStore) {
    this.#store = store;
  }

  /** The newest entry; `NO_HASH` if none is stored. */
  async head(): Promise<Anchor> {
    // The order matters: an entry that another Shield writes in between is either the newest, or a conflict. In the
    // other order it would be counted without its hash, and the chain would fork there.
    const { last } = await this.#store.room();
    const newest = await this.#store.newest(TENANT, NODE);
    if (newest === undefined) return { seq: last, hash: NO_HASH };
    return { seq: newest.cursor, hash: entryHash(newest.payload) };
  }

  /**
   * Stores the entry after `head`. Rejects with `version-conflict`, having stored nothing, if that is not the newest.
   */
  async append(payload: Uint8Array, head: Anchor): Promise<void> {
    // Only the age and the size of the whole log bound it.
    const block = { tenant_id: TENANT, node_id: NODE, ttl_seconds: Infinity, max_bytes: Infinity };
    const expected = head.hash === NO_HASH ? 0 : head.seq;
    try {
      await this.#store.append({ ...block, payload, expected });
    } catch (error) {
      if (!isConflict(error)) throw error;
      // An entry that an attempt with a lost answer stored is ours: no two entries are equal.
      const [there] = await this.read(head.seq, 1);
      if (there?.cursor !== head.seq + 1) throw error;
      if (entryHash(there.payload) !== entryHash(payload)) throw error;
    }
  }

  /**
   * Reads entries above that number; may lag behind `head`. A page has fewer than `limit` entries only at the end, or
   * because of its size.
   */
  async read(after: number, limit: number): Promise<readonly StoredBlock[]> {
    return (await this.#store.read({ tenant_id: TENANT, after, limit })).blocks;
  }

  async status(): Promise<AuditStatus> {
    const { bytes, last } = await this.#store.room();
    const [oldest] = await this.read(0, 1);
    return { bytes, last, first: oldest?.cursor ?? last + 1, first_ms: oldest?.time_ms };
  }
}

/** Opens the log with the bounds of the configuration; creates it if missing. */
export async function openAuditLog(
  spine: Pick<Spine, "blocks">,
  { retention_days, log_bytes }: Pick<Config["audit"], "retention_days" | "log_bytes">,
): Promise<AuditLog> {
  const retention = { max_age_seconds: retention_days * DAY_SECONDS, max_bytes: log_bytes };
  return new AuditLog(await spine.blocks("audit", retention));
}
