// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/**
 * A store of blocks of the embedded engine on `node:sqlite`: a separate file under `data_dir`, which can be moved away,
 * or in memory. Backups contain the usage ledger and the audit log. Its failures affect this store only.
 */
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import { BoundedMap } from "../../containers/bounded_map.ts";
import type { Env } from "../../env.ts";
import type { ClockSteps } from "../../clock_steps.ts";
import { assertSize } from "../contract/check.ts";
import { BLOCK_BYTES_MAX, BLOCK_OVERHEAD_BYTES } from "../contract/block_store.ts";
import type {
  BlockAppend,
  BlockPage,
  BlockRead,
  BlockRetention,
  BlockRoom,
  BlockStatus,
  BlockStore,
  BlockStoreName,
  StoredBlock,
} from "../contract/block_store.ts";
import { EngineFile } from "./embedded_backup.ts";
import { isDiskFull, prepareAll, requireVersion, useProblem } from "./embedded_database.ts";
import { logUnavailable } from "../contract/write_errors.ts";

/** `PRAGMA user_version` of the schema below. */
const VERSION = 1;
// The index covers sums and times, so that they read no payload.
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS block (
    id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, node TEXT NOT NULL,
    time_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, payload BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS block_of_tenant ON block (tenant, id);
  CREATE INDEX IF NOT EXISTS block_time ON block (tenant, time_ms, bytes);
  CREATE INDEX IF NOT EXISTS block_end ON block (ends_ms);
  CREATE TABLE IF NOT EXISTS dropped (tenant TEXT PRIMARY KEY, time_ms INTEGER NOT NULL) STRICT;
  PRAGMA user_version = ${VERSION};`;
const removing = (which: string) =>
  `DELETE FROM block WHERE id IN (${which}) RETURNING tenant, bytes, time_ms`;
const SQL = {
  insert: `INSERT INTO block (tenant, node, time_ms, ends_ms, bytes, payload)
    VALUES (?, ?, ?, ?, ?, ?)`,
  read:
    `SELECT id AS cursor, node AS node_id, time_ms, payload FROM block WHERE tenant = ? AND id > ? AND ends_ms > ?
    ORDER BY id LIMIT ?`,
  newest:
    `SELECT id AS cursor, node AS node_id, time_ms, payload FROM block WHERE tenant = ? AND node = ? AND ends_ms > ?
    ORDER BY id DESC LIMIT 1`,
  remove: "DELETE FROM block WHERE tenant = ? AND node = ? AND id < ? RETURNING tenant, bytes",
  // The first by id, not by time: they differ if the clock was set back.
  at: "SELECT min(id) AS id FROM block WHERE tenant = ? AND time_ms >= ?",
  sums: "SELECT tenant, sum(bytes) AS bytes FROM block GROUP BY tenant",
  status: `SELECT count(*) AS blocks, min(time_ms) AS first_ms, (SELECT time_ms FROM block
    WHERE tenant = ?1 ORDER BY id DESC LIMIT 1) AS last_ms FROM block WHERE tenant = ?1 AND ends_ms > ?2`,
  latest: "SELECT max(time_ms) AS time_ms FROM block",
  purge: "DELETE FROM block WHERE tenant = ?",
  drop: `INSERT INTO dropped VALUES (?, ?)
    ON CONFLICT DO UPDATE SET time_ms = max(time_ms, excluded.time_ms)`,
  dropped: "SELECT time_ms + 1 AS whole_ms FROM dropped WHERE tenant = ?",
  forgive: "DELETE FROM dropped WHERE tenant = ?",
  forget: "DELETE FROM dropped WHERE time_ms < ?",
  expire: removing("SELECT id FROM block WHERE ends_ms <= ? ORDER BY ends_ms LIMIT ?"),
  oldest_of: removing("SELECT id FROM block WHERE tenant = ? ORDER BY id LIMIT 1"),
  oldest: `DELETE FROM block WHERE id = (SELECT min(id) FROM block) AND time_ms < ?
    RETURNING tenant, bytes, time_ms`,
  last: "SELECT seq FROM sqlite_sequence WHERE name = 'block'",
};
/** Blocks that one append removes at most; a bound that was lowered is reached in steps. */
const REMOVED_AT_ONCE = 256;
const READ_BYTES = 4_194_304;
/** Idempotency keys that are remembered. */
const IDS_MAX = 256;
/** The bound of a store in memory, whatever its retention. */
const MEMORY_BYTES_MAX = 67_108_864;

function prepared(database: DatabaseSync, name: BlockStoreName) {
  // NORMAL: a power cut may lose the last commits. A change follows its audit entry, which must survive that.
  const synchronous = name === "audit" ? "FULL" : "NORMAL";
  database.exec(
    `PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous};` +
      "PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -2048;",
  );
  requireVersion(database, VERSION);
  database.exec(SCHEMA);
  return prepareAll(database, SQL);
}

/** The engine's parts that a store of blocks needs. */
interface EmbeddedBlocksOptions extends Pick<Env, "now"> {
  readonly name: BlockStoreName;
  readonly data_dir: string | undefined;
  readonly steps: ClockSteps;
}

interface Removed {
  readonly tenant: string;
  readonly bytes: number;
}

/** An open store. */
export class EmbeddedBlocks extends EngineFile<ReturnType<typeof prepared>> implements BlockStore {
  readonly #options: EmbeddedBlocksOptions;
  /** Bytes of the stored blocks, by tenant. */
  readonly #bytes = new Map<string, number>();
  #all_bytes = 0;
  #newest_ms = 0;
  /** The newest idempotency keys; few, because a local write has a known outcome and is seldom retried. */
  readonly #stored_ids = new BoundedMap<string, true>(IDS_MAX);
  #retention: BlockRetention = { max_bytes: Infinity, max_age_seconds: Infinity };

  /** Throws `spine-unavailable` when the file cannot be opened, and says what to do. */
  constructor(options: EmbeddedBlocksOptions) {
    super(`${options.name}.sqlite`, options.data_dir, (file) => prepared(file, options.name));
    this.#options = options;
    for (const row of this.guard(() => this.rows.sums.all())) {
      this.#count(String(row["tenant"]), Number(row["bytes"]));
    }
  }

  /** Sets the bounds of all tenants; before this call there are none. */
  retain(retention: BlockRetention): void {
    const is_memory = this.#options.data_dir === undefined;
    const max_bytes = Math.min(retention.max_bytes, is_memory ? MEMORY_BYTES_MAX : Infinity);
    this.#retention = { ...retention, max_bytes };
    this.#change(() => {
      // This process begins: if its clock is ahead, the newest block is not.
      this.#newest_ms = Number(this.rows.latest.get()?.["time_ms"] ?? 0);
      const now_ms = Math.min(this.#options.now(), this.#newest_ms);
      this.rows.forget.run(now_ms - retention.max_age_seconds * 1_000);
      return this.#shrink();
    });
  }

  /** Removes expired and surplus blocks, for a store in which nobody writes. Throws errors of the disk. */
  expire(): void {
    this.#change(() => this.#shrink());
  }

  async append({ tenant_id, node_id, ttl_seconds, max_bytes, payload, id, expected }: BlockAppend) {
    this.assertOpen();
    assertSize(payload.length, BLOCK_BYTES_MAX);
    if (id !== undefined && this.#stored_ids.get(id)) return;
    const newest = expected === undefined
      ? undefined
      : this.#newest(tenant_id, node_id)?.cursor ?? 0;
    if (newest !== expected) {
      throw new ArqonError("version-conflict", `${newest} (the newest block of ${node_id})`);
    }
    const now_ms = this.#options.now();
    this.#newest_ms = Math.max(this.#newest_ms, now_ms);
    const kept_seconds = ttl_seconds === Infinity
      ? Infinity
      : Math.min(ttl_seconds, this.#retention.max_age_seconds);
    const ends_ms = Math.min(now_ms + kept_seconds * 1_000, Number.MAX_SAFE_INTEGER);
    const bytes = payload.length + BLOCK_OVERHEAD_BYTES;
    this.#change(() => {
      this.rows.insert.run(tenant_id, node_id, now_ms, ends_ms, bytes, payload);
      return [{ tenant: tenant_id, bytes: -bytes }, ...this.#shrink(tenant_id, max_bytes, bytes)];
    });
    if (id !== undefined) this.#stored_ids.set(id, true);
  }

  async read({ tenant_id, after, from_ms, limit }: BlockRead): Promise<BlockPage> {
    const now_ms = this.#options.now();
    return this.ask((rows) => {
      const above = after ?? this.#before(tenant_id, from_ms);
      if (above === undefined) return { blocks: [], is_end: true };
      const blocks: StoredBlock[] = [];
      let page_bytes = 0;
      for (const row of rows.read.iterate(tenant_id, above, now_ms, limit + 1)) {
        if (blocks.length === limit || page_bytes >= READ_BYTES) return { blocks, is_end: false };
        const block = blockOf(row);
        page_bytes += block.payload.length;
        blocks.push(block);
      }
      return { blocks, is_end: true };
    });
  }

  async newest(tenant_id: string, node_id: string): Promise<StoredBlock | undefined> {
    return this.#newest(tenant_id, node_id);
  }

  async remove(tenant_id: string, node_id: string, below: number): Promise<void> {
    this.assertOpen();
    this.#change(() => this.rows.remove.all(tenant_id, node_id, below).map(removed));
  }

  async tenants(): Promise<readonly string[]> {
    this.assertOpen();
    return [...this.#bytes.keys()];
  }

  async status(tenant_id: string): Promise<BlockStatus> {
    const now_ms = this.#options.now();
    const [row, dropped] = this.ask((rows) => [
      rows.status.get(tenant_id, now_ms),
      rows.dropped.get(tenant_id),
    ]);
    const time = (value: unknown) => typeof value === "number" ? value : undefined;
    return {
      blocks: Number(row?.["blocks"] ?? 0),
      bytes: this.#bytes.get(tenant_id) ?? 0,
      first_ms: time(row?.["first_ms"]),
      last_ms: time(row?.["last_ms"]),
      whole_ms: time(dropped?.["whole_ms"]),
    };
  }

  aheadMs(): Promise<number> {
    return Promise.resolve(0);
  }

  async room(): Promise<BlockRoom> {
    this.assertOpen();
    const { max_bytes } = this.#retention;
    const last = Number(this.ask((rows) => rows.last.get())?.["seq"] ?? 0);
    return { bytes: this.#all_bytes, max_bytes, newest_ms: this.#newest_ms, last };
  }

  async purge(tenant_id: string): Promise<void> {
    this.assertOpen();
    const bytes = this.#bytes.get(tenant_id) ?? 0;
    this.#change(() => {
      this.rows.purge.run(tenant_id);
      this.rows.forgive.run(tenant_id);
      return [{ tenant: tenant_id, bytes }];
    });
  }

  #newest(tenant_id: string, node_id: string): StoredBlock | undefined {
    const row = this.ask(({ newest }) => newest.get(tenant_id, node_id, this.#options.now()));
    return row && blockOf(row);
  }

  /** The cursor before the first block at or after that time; undefined if there is no such block. */
  #before(tenant_id: string, from_ms: number | undefined): number | undefined {
    if (from_ms === undefined) return 0;
    const row = this.rows.at.get(tenant_id, from_ms);
    return typeof row?.["id"] === "number" ? row["id"] - 1 : undefined;
  }

  /** Removes expired and surplus blocks; `added` bytes of the tenant are not counted yet. */
  #shrink(tenant_id?: string, tenant_bytes = Infinity, added = 0): Removed[] {
    const { now, steps } = this.#options;
    // After a clock step nothing is deleted until the clock is trusted; readers skip expired blocks.
    const age_ms = 1_000 * this.#retention.max_age_seconds;
    const old = steps.isBelieved(age_ms) ? this.rows.expire.all(now(), REMOVED_AT_ONCE) : [];
    const gone: Removed[] = old.map(removed);
    const sum = (of: (one: Removed) => boolean) =>
      gone.reduce((bytes, one) => bytes + (of(one) ? one.bytes : 0), 0);
    let over = (this.#bytes.get(tenant_id ?? "") ?? 0) + added - tenant_bytes -
      sum(({ tenant }) => tenant === tenant_id);
    while (tenant_id !== undefined && over > 0 && gone.length < REMOVED_AT_ONCE) {
      const row = this.rows.oldest_of.get(tenant_id);
      if (row === undefined) break;
      gone.push(this.#dropped(row));
      over -= removed(row).bytes;
    }
    over = this.#all_bytes + added - this.#retention.max_bytes - sum(() => true);
    const before_ms = steps.cutoff(age_ms);
    while (gone.length < REMOVED_AT_ONCE) {
      const row = this.rows.oldest.get(over > 0 ? Number.MAX_SAFE_INTEGER : before_ms);
      if (row === undefined) break;
      gone.push(over > 0 ? this.#dropped(row) : removed(row));
      over -= removed(row).bytes;
    }
    return gone;
  }

  /** Records up to which time blocks were removed for space. */
  #dropped(row: Record<string, unknown>): Removed {
    this.rows.drop.run(String(row["tenant"]), Number(row["time_ms"]));
    return removed(row);
  }

  /** Runs one transaction, then updates the byte counts with what it removed (negative bytes: added). */
  #change(run: () => readonly Removed[]): void {
    const changed = this.transaction(run);
    for (const { tenant, bytes } of changed) this.#count(tenant, -bytes);
  }

  #count(tenant: string, bytes: number): void {
    const sum = (this.#bytes.get(tenant) ?? 0) + bytes;
    if (sum > 0) this.#bytes.set(tenant, sum);
    else this.#bytes.delete(tenant);
    this.#all_bytes += bytes;
  }

  protected failure(message: string, cause: unknown): ArqonError {
    const why = `the ${this.#options.name}'s store: ${useProblem(this.name, message)}`;
    return logUnavailable(why, isDiskFull(message), cause);
  }
}

function removed(row: Record<string, unknown>): Removed {
  return { tenant: String(row["tenant"]), bytes: Number(row["bytes"]) };
}

// The table is STRICT: each column has its type.
const blockOf = (row: object): StoredBlock => ({ ...row }) as StoredBlock;
