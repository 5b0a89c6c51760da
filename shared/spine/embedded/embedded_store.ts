/**
 * The rows of the embedded engine's buckets, objects and ledgers on `node:sqlite`: a file under `data_dir`, or in
 * memory. The file is opened in exclusive mode, which locks `data_dir`: the system releases the lock with the process,
 * so a crash leaves no stale lock. Not shared between processes.
 */
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import { openProblem, useProblem } from "./data_files.ts";
import { type BackupFile, backupFile, closeBacked, requireRestored } from "./embedded_backup.ts";
import {
  type Guard,
  inTransaction,
  openDatabase,
  PROOF_SCHEMA,
  proveWritable,
} from "./embedded_database.ts";
import { LEDGER_SCHEMA, ledgerStatements } from "./embedded_ledger.ts";
import { OBJECT_SCHEMA, objectStatements } from "./embedded_objects.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS entry (
    bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;
  ${OBJECT_SCHEMA}
  ${LEDGER_SCHEMA}
  ${PROOF_SCHEMA}`;
const FILE = "spine.sqlite";

interface StoredEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

function prepareFile(database: DatabaseSync, data_dir: string): void {
  // NORMAL: a crash of the process loses nothing; a power cut may lose the last commits.
  database.exec(
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" +
      `BEGIN EXCLUSIVE; COMMIT; ${SCHEMA}`,
  );
  requireRestored(data_dir);
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

/** The rows of all buckets; keys are encoded. Every call is one transaction. */
export class KvStore {
  readonly database: DatabaseSync;
  /** The file for a backup; undefined: all data are in memory. */
  readonly file: BackupFile | undefined;
  readonly objects: ReturnType<typeof objectStatements>;
  readonly ledgers: ReturnType<typeof ledgerStatements>;
  /** Called for every failure of the disk. */
  onFailed: (error: unknown) => void = () => {};
  readonly #rows: ReturnType<typeof statements>;
  readonly #where: string;

  constructor(database: DatabaseSync, data_dir: string | undefined) {
    this.database = database;
    this.file = backupFile(database, FILE, data_dir);
    this.objects = objectStatements(database);
    this.ledgers = ledgerStatements(database);
    this.#rows = statements(database);
    this.#where = `data_dir ${data_dir ?? "(memory)"}`;
  }

  get(bucket: string, key: string): StoredEntry | undefined {
    const row = this.guard(() => this.#rows.get.get(bucket, key));
    return row === undefined ? undefined : storedEntry(row);
  }

  /** The revision of a key without its value, which may be large; 0: there is none. */
  revision(bucket: string, key: string): number {
    return Number(this.guard(() => this.#rows.revision.get(bucket, key))?.["revision"] ?? 0);
  }

  /** The keys at or below `prefix`, in their order. */
  keys(bucket: string, prefix: string): string[] {
    return this.guard(() => this.#rows.keys.all(bucket, prefix)).map((row) => String(row["key"]));
  }

  sizes(bucket: string, prefix: string): { readonly key: string; readonly size_bytes: number }[] {
    return this.guard(() => this.#rows.sizes.all(bucket, prefix)).map((row) => ({
      key: String(row["key"]),
      size_bytes: Number(row["size_bytes"]),
    }));
  }

  /** Stores values in one transaction; returns the new revision of the last one, after those of the others. */
  put(bucket: string, entries: readonly Pick<StoredEntry, "key" | "value">[]): number {
    return this.#write(bucket, entries.length, (last) => {
      let revision = last - entries.length;
      for (const { key, value } of entries) this.#rows.put.run(bucket, key, value, ++revision);
    });
  }

  remove(bucket: string, key: string): number {
    return this.#write(bucket, 1, () => this.#rows.remove.run(bucket, key));
  }

  /** Throws `spine-unavailable` if this many bytes cannot be written. */
  prove(size_bytes: number): void {
    this.guard(() => proveWritable(this.database, size_bytes));
  }

  close(): void {
    closeBacked(this.database, this.file);
  }

  readonly guard: Guard = (run) => {
    try {
      return run();
    } catch (cause) {
      if (cause instanceof ArqonError) throw cause;
      const text = cause instanceof Error ? cause.message : String(cause);
      const why = `${this.#where}: ${useProblem(FILE, text)}`;
      const failure = new ArqonError("spine-unavailable", why, { cause });
      this.onFailed(failure);
      throw failure;
    }
  };

  #write(bucket: string, changes: number, change: (revision: number) => void): number {
    return this.guard(() =>
      inTransaction(this.database, () => {
        const revision = Number(this.#rows.bump.get(bucket, changes)?.["revision"]);
        change(revision);
        return revision;
      })
    );
  }
}

/** Opens and locks the database; creates it if missing. Throws `spine-unavailable`. */
export function openStore(data_dir: string | undefined): KvStore {
  if (data_dir === undefined) {
    return openDatabase(":memory:", (database) => {
      database.exec(SCHEMA);
      return new KvStore(database, undefined);
    });
  }
  try {
    Deno.mkdirSync(data_dir, { recursive: true, mode: 0o700 });
    return openDatabase(`${data_dir}/${FILE}`, (database) => {
      prepareFile(database, data_dir);
      return new KvStore(database, data_dir);
    });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const why = openProblem(data_dir, FILE, text);
    throw new ArqonError("spine-unavailable", `data_dir ${data_dir} ${why}`, { cause });
  }
}
