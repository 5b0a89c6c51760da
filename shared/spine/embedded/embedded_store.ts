// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/**
 * The rows of the embedded engine's buckets, objects and ledgers on `node:sqlite`: a file under `data_dir`, or in
 * memory. The file is opened in exclusive mode, which locks `data_dir`: the system releases the lock with the process,
 * so a crash leaves no stale lock. Not shared between processes.
 */
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import { PROOF_SCHEMA, useProblem } from "./embedded_database.ts";
import { EngineFile, requireRestored } from "./embedded_backup.ts";
import { createHash } from "node:crypto";
import { assertObjectName, assertSize, OBJECT_BYTES_MAX } from "../contract/check.ts";
import type { ObjectStore, StoredObject } from "../contract/spine.ts";
import type { Env } from "../../env.ts";
import type { ClockSteps } from "../../clock_steps.ts";
import type {
  Ledger,
  LedgerEntry,
  LedgerRead,
  LedgerRetention,
  LedgerStatus,
} from "../contract/ledger.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS entry (
    bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, digest BLOB NOT NULL,
    modified_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bucket, name)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS ledger (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS ledger_entry (
    ledger TEXT NOT NULL, offset INTEGER NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (ledger, offset)
  ) STRICT, WITHOUT ROWID;
  ${PROOF_SCHEMA}`;
const FILE = "spine.sqlite";

interface StoredEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/** Locks the database and creates its tables. */
function prepared(database: DatabaseSync, data_dir: string | undefined) {
  // NORMAL: a crash of the process loses nothing; a power cut may lose the last commits.
  database.exec(
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" +
      `BEGIN EXCLUSIVE; COMMIT; ${SCHEMA}`,
  );
  if (data_dir !== undefined) requireRestored(data_dir);
  return {
    ...statements(database),
    objects: objectStatements(database),
    ledgers: ledgerStatements(database),
  };
}

function statements(database: DatabaseSync) {
  // "." is followed by "/" in ASCII: the range contains exactly the keys that begin with the prefix and a dot.
  const below = "bucket = ?1 AND (?2 = '' OR key = ?2 OR (key > ?2 || '.' AND key < ?2 || '/'))";
  return {
    bump: database.prepare(
      "INSERT INTO bucket (name, revision) VALUES (?1, ?2) ON CONFLICT (name) " +
        "DO UPDATE SET revision = revision + ?2 RETURNING revision",
    ),
    get: database.prepare("SELECT key, value, revision FROM entry WHERE bucket = ? AND key = ?"),
    revision: database.prepare("SELECT revision FROM entry WHERE bucket = ? AND key = ?"),
    keys: database.prepare(`SELECT key FROM entry WHERE ${below} ORDER BY key`),
    sizes: database.prepare(
      `SELECT key, length(value) AS size_bytes FROM entry WHERE ${below} ORDER BY key`,
    ),
    put: database.prepare(
      "INSERT INTO entry (bucket, key, value, revision) VALUES (?, ?, ?, ?) ON CONFLICT " +
        "(bucket, key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
    ),
    remove: database.prepare("DELETE FROM entry WHERE bucket = ? AND key = ?"),
  };
}

function storedEntry(row: Record<string, unknown>): StoredEntry {
  const { key, value, revision } = row;
  if (typeof key !== "string" || !(value instanceof Uint8Array) || typeof revision !== "number") {
    throw new ArqonError("internal", "", { cause: new Error("spine.sqlite holds a foreign row") });
  }
  return { key, value: new Uint8Array(value), revision };
}

/** The rows of all buckets; keys are encoded. Every call is one transaction. Failures are `spine-unavailable`. */
export class KvStore extends EngineFile<ReturnType<typeof prepared>> {
  readonly #where: string;

  constructor(data_dir: string | undefined) {
    super(FILE, data_dir, (database) => prepared(database, data_dir));
    this.#where = `data_dir ${data_dir ?? "(memory)"}`;
  }

  get(bucket: string, key: string): StoredEntry | undefined {
    const row = this.guard(() => this.rows.get.get(bucket, key));
    return row === undefined ? undefined : storedEntry(row);
  }

  /** The revision of a key without its value, which may be large; 0: there is none. */
  revision(bucket: string, key: string): number {
    return Number(this.guard(() => this.rows.revision.get(bucket, key))?.["revision"] ?? 0);
  }

  /** The keys at or below `prefix`, in their order. */
  keys(bucket: string, prefix: string): string[] {
    return this.guard(() => this.rows.keys.all(bucket, prefix)).map((row) => String(row["key"]));
  }

  sizes(bucket: string, prefix: string): { readonly key: string; readonly size_bytes: number }[] {
    return this.guard(() => this.rows.sizes.all(bucket, prefix)).map((row) => ({
      key: String(row["key"]),
      size_bytes: Number(row["size_bytes"]),
    }));
  }

  /** Stores values in one transaction; returns the new revision of the last one, after those of the others. */
  put(bucket: string, entries: readonly Pick<StoredEntry, "key" | "value">[]): number {
    return this.#write(bucket, entries.length, (last) => {
      let revision = last - entries.length;
      for (const { key, value } of entries) this.rows.put.run(bucket, key, value, ++revision);
    });
  }

  remove(bucket: string, key: string): number {
    return this.#write(bucket, 1, () => this.rows.remove.run(bucket, key));
  }

  protected failure(message: string, cause: unknown): ArqonError {
    const why = `${this.#where}: ${useProblem(FILE, message)}`;
    return new ArqonError("spine-unavailable", why, { cause });
  }

  #write(bucket: string, changes: number, change: (revision: number) => void): number {
    return this.transaction(() => {
      const revision = Number(this.rows.bump.get(bucket, changes)?.["revision"]);
      change(revision);
      return revision;
    });
  }
}

/** The present time in SQL, Unix ms. */
const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

function checked(row: Record<string, unknown>, bucket: string, name: string): Uint8Array {
  const { value, digest } = row;
  if (value instanceof Uint8Array && digest instanceof Uint8Array) {
    const found = sha256(value);
    if (digest.length === found.length && found.every((byte, at) => byte === digest[at])) {
      return new Uint8Array(value);
    }
  }
  const cause = new Error(`object ${JSON.stringify(name)} of ${bucket} does not match its digest`);
  throw new ArqonError("internal", "", { cause });
}

/** The statements of all object stores in an open database, in which `OBJECT_SCHEMA` has run. */
function objectStatements(database: DatabaseSync) {
  return {
    get: database.prepare("SELECT value, digest FROM object WHERE bucket = ? AND name = ?"),
    put: database.prepare(
      `INSERT INTO object (bucket, name, value, digest, modified_ms) VALUES (?, ?, ?, ?, ${NOW}) ` +
        "ON CONFLICT (bucket, name) DO UPDATE SET value = excluded.value, " +
        "digest = excluded.digest, modified_ms = excluded.modified_ms",
    ),
    remove: database.prepare("DELETE FROM object WHERE bucket = ? AND name = ?"),
    list: database.prepare(
      "SELECT name, length(value) AS size_bytes, modified_ms FROM object WHERE bucket = ?",
    ),
  };
}

/** One object store of the embedded engine. */
export class EmbeddedObjects implements ObjectStore {
  readonly #bucket: string;
  readonly #store: KvStore;
  /** Throws when the engine is not open. */
  readonly #assertOpen: () => void;

  constructor(bucket: string, store: KvStore, assertOpen: () => void) {
    this.#bucket = bucket;
    this.#store = store;
    this.#assertOpen = assertOpen;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    assertObjectName(name);
    assertSize(bytes.length, OBJECT_BYTES_MAX);
    const { rows: { objects }, guard } = this.#store;
    guard(() => objects.put.run(this.#bucket, name, bytes, sha256(bytes)));
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    assertObjectName(name);
    const { rows: { objects }, guard } = this.#store;
    const row = guard(() => objects.get.get(this.#bucket, name));
    return row === undefined ? undefined : checked(row, this.#bucket, name);
  }

  async delete(name: string): Promise<void> {
    this.#assertOpen();
    assertObjectName(name);
    const { rows: { objects }, guard } = this.#store;
    guard(() => objects.remove.run(this.#bucket, name));
  }

  async list(): Promise<StoredObject[]> {
    this.#assertOpen();
    const { rows: { objects }, guard } = this.#store;
    return guard(() => objects.list.all(this.#bucket)).map(({ name, size_bytes, modified_ms }) => ({
      name: String(name),
      size_bytes: Number(size_bytes),
      modified_ms: Number(modified_ms),
    }));
  }
}

/** The most entries that one append removes to make room; a lowered bound is reached in steps. */
const REMOVED_AT_ONCE = 256;

function entryOf(row: Record<string, unknown>): LedgerEntry {
  const { offset, payload } = row;
  if (typeof offset !== "number" || !(payload instanceof Uint8Array)) {
    throw new ArqonError("internal", "", { cause: new Error("spine.sqlite holds a foreign row") });
  }
  return { offset, payload: new Uint8Array(payload) };
}

/** The statements of all ledgers in an open database, in which `LEDGER_SCHEMA` has run. */
function ledgerStatements(database: DatabaseSync) {
  return {
    newest: database.prepare("SELECT last FROM ledger WHERE name = ?"),
    bump: database.prepare(
      "INSERT INTO ledger (name, last) VALUES (?, ?) ON CONFLICT (name) " +
        "DO UPDATE SET last = excluded.last",
    ),
    insert: database.prepare(
      "INSERT INTO ledger_entry (ledger, offset, time_ms, payload) VALUES (?, ?, ?, ?)",
    ),
    read: database.prepare(
      "SELECT offset, payload FROM ledger_entry WHERE ledger = ? AND offset > ? " +
        "ORDER BY offset LIMIT ?",
    ),
    last: database.prepare(
      "SELECT offset, payload FROM ledger_entry WHERE ledger = ? ORDER BY offset DESC LIMIT 1",
    ),
    first: database.prepare(
      "SELECT offset, time_ms FROM ledger_entry WHERE ledger = ? ORDER BY offset LIMIT 1",
    ),
    sum: database.prepare(
      "SELECT coalesce(sum(length(payload)), 0) AS bytes FROM ledger_entry WHERE ledger = ?",
    ),
    remove: database.prepare(
      "DELETE FROM ledger_entry WHERE ledger = ?1 AND time_ms < ?2 AND " +
        "offset = (SELECT min(offset) FROM ledger_entry WHERE ledger = ?1) " +
        "RETURNING length(payload) AS bytes",
    ),
  };
}

/** The engine's parts that a ledger needs. */
interface EmbeddedLedgerOptions extends Pick<Env, "now"> {
  readonly name: string;
  readonly store: KvStore;
  /** Nothing expires by a clock that was set lately. */
  readonly steps: ClockSteps;
  readonly payload_bytes_max: number;
  /** Throws when the engine is not open. */
  readonly assertOpen: () => void;
}

/** One ledger of the embedded engine. */
export class EmbeddedLedger implements Ledger {
  readonly #options: EmbeddedLedgerOptions;
  #retention: LedgerRetention = { max_age_seconds: Infinity, max_bytes: Infinity };
  /** Bytes of the stored entries. */
  #bytes: number;

  constructor(options: EmbeddedLedgerOptions) {
    this.#options = options;
    const { name, store: { guard, rows: { ledgers } } } = options;
    this.#bytes = Number(guard(() => ledgers.sum.get(name))?.["bytes"]);
  }

  /** Sets the bounds; before this call there are none. */
  retain(retention: LedgerRetention): void {
    this.#retention = retention;
    this.expire();
  }

  /** Removes expired and surplus entries, for a ledger in which nobody writes. Throws errors of the disk. */
  expire(): void {
    this.#bytes -= this.#options.store.transaction(() => this.#shrink(0));
  }

  async append(payload: Uint8Array, after: number): Promise<number> {
    const { name, payload_bytes_max, assertOpen } = this.#options;
    assertOpen();
    assertSize(payload.length, payload_bytes_max);
    const newest = this.#newest();
    if (newest !== after) {
      throw new ArqonError("version-conflict", `${newest} (the newest entry of ${name})`);
    }
    this.#bytes += this.#store(payload, after + 1);
    return after + 1;
  }

  async last(): Promise<LedgerEntry | undefined> {
    const { name, store: { guard, rows: { ledgers } }, assertOpen } = this.#options;
    assertOpen();
    const row = guard(() => ledgers.last.get(name));
    return row === undefined ? undefined : entryOf(row);
  }

  async read({ after, limit }: LedgerRead): Promise<LedgerEntry[]> {
    const { name, store: { guard, rows: { ledgers } }, assertOpen } = this.#options;
    assertOpen();
    return guard(() => ledgers.read.all(name, after, limit).map(entryOf));
  }

  async status(): Promise<LedgerStatus> {
    const { name, store: { guard, rows: { ledgers } }, assertOpen } = this.#options;
    assertOpen();
    const last_offset = this.#newest();
    const row = guard(() => ledgers.first.get(name));
    const first_offset = Number(row?.["offset"] ?? last_offset + 1);
    const first_ms = row === undefined ? undefined : Number(row["time_ms"]);
    const entries = last_offset + 1 - first_offset;
    return { entries, bytes: this.#bytes, last_offset, first_offset, first_ms };
  }

  #newest(): number {
    const { name, store: { guard, rows: { ledgers } } } = this.#options;
    return Number(guard(() => ledgers.newest.get(name))?.["last"] ?? 0);
  }

  /** Stores an entry and makes room for it: both, or nothing of it. Returns by how many bytes the ledger grew. */
  #store(payload: Uint8Array, offset: number): number {
    const { name, now, store } = this.#options;
    const { ledgers } = store.rows;
    // Acknowledged entries are on the disk and survive a power cut.
    store.database.exec("PRAGMA synchronous = FULL");
    try {
      return store.transaction(() => {
        ledgers.bump.run(name, offset);
        ledgers.insert.run(name, offset, now(), payload);
        return payload.length - this.#shrink(payload.length);
      });
    } finally {
      store.database.exec("PRAGMA synchronous = NORMAL");
    }
  }

  /** Removes expired and surplus entries, `added` bytes included; returns how many bytes those had. */
  #shrink(added: number): number {
    const { name, store: { rows: { ledgers } }, steps } = this.#options;
    const { max_age_seconds, max_bytes } = this.#retention;
    const before_ms = steps.cutoff(max_age_seconds * 1_000);
    let bytes = 0;
    for (let removed = 0; removed < REMOVED_AT_ONCE; removed++) {
      const is_over = this.#bytes + added - bytes > max_bytes;
      const row = ledgers.remove.get(name, is_over ? Number.MAX_SAFE_INTEGER : before_ms);
      if (row === undefined) break;
      bytes += Number(row["bytes"]);
    }
    return bytes;
  }
}
