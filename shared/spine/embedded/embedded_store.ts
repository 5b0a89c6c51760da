/**
 * The rows of the embedded engine's buckets, objects and ledgers on `node:sqlite`: a file under
 * `data_dir`, or in memory. The file is opened in exclusive mode, which is the lock of `data_dir`: the
 * system drops it with the process, so a crash leaves no stale lock behind. Not shared between processes.
 */
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import { openProblem, useProblem } from "./data_files.ts";
import { backupFile, closeBacked, requireRestored } from "./embedded_backup.ts";
import type { BackupFile } from "./embedded_backup.ts";
import { LEDGER_SCHEMA, ledgerTable } from "./embedded_ledger.ts";
import type { LedgerTable } from "./embedded_ledger.ts";
import { OBJECT_SCHEMA, objectTable } from "./embedded_objects.ts";
import type { ObjectTable } from "./embedded_objects.ts";
import { PROOF_SCHEMA, proveWritable } from "./embedded_proof.ts";

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

/** The rows of all buckets; keys are encoded. Every call is one transaction. */
export interface KvStore {
  get(bucket: string, key: string): StoredEntry | undefined;
  /** The keys at or below `prefix`, in their order. */
  keys(bucket: string, prefix: string): string[];
  /** The keys with the bytes of their values. */
  sizes(bucket: string, prefix: string): { readonly key: string; readonly size_bytes: number }[];
  /** Stores a value; gives the new revision. */
  put(bucket: string, key: string, value: Uint8Array): number;
  remove(bucket: string, key: string): number;
  /** The objects, in the same file. */
  readonly objects: ObjectTable;
  /** The ledgers, in the same file. */
  readonly ledgers: LedgerTable;
  /** The file for a backup; undefined: all is in memory. */
  readonly file: BackupFile | undefined;
  /** Throws `spine-unavailable` when the file does not take so much. */
  prove(size_bytes: number): void;
  /** Called for every failure of the disk. */
  onFailed: (error: unknown) => void;
  close(): void;
}

function openDatabase(data_dir: string | undefined): { database: DatabaseSync } & Statements {
  if (data_dir === undefined) {
    const database = new DatabaseSync(":memory:");
    database.exec(SCHEMA);
    return { database, ...prepare(database) };
  }
  try {
    Deno.mkdirSync(data_dir, { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(`${data_dir}/${FILE}`);
    try {
      // NORMAL: a crash of the process loses nothing, a power cut at worst the last commits.
      database.exec(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" +
          `BEGIN EXCLUSIVE; COMMIT; ${SCHEMA}`,
      );
      requireRestored(data_dir);
      return { database, ...prepare(database) };
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const why = openProblem(data_dir, FILE, text);
    throw new ArqonError("spine-unavailable", `data_dir ${data_dir} ${why}`, { cause });
  }
}

interface Statements {
  readonly bump: StatementSync;
  readonly get: StatementSync;
  readonly keys: StatementSync;
  readonly sizes: StatementSync;
  readonly put: StatementSync;
  readonly remove: StatementSync;
}

function prepare(database: DatabaseSync): Statements {
  // "." is followed by "/" in ASCII: the range holds exactly what begins with the prefix and a dot.
  const below = "bucket = ?1 AND (?2 = '' OR key = ?2 OR (key > ?2 || '.' AND key < ?2 || '/'))";
  return {
    bump: database.prepare(
      "INSERT INTO bucket (name, revision) VALUES (?, 1) ON CONFLICT (name) " +
        "DO UPDATE SET revision = revision + 1 RETURNING revision",
    ),
    get: database.prepare("SELECT key, value, revision FROM entry WHERE bucket = ? AND key = ?"),
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

/** Runs a statement; what the disk refuses becomes `spine-unavailable`, and has changed nothing. */
function onDisk<T>(
  data_dir: string | undefined,
  run: () => T,
  onFailed: (error: unknown) => void,
): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof ArqonError) throw cause;
    const text = cause instanceof Error ? cause.message : String(cause);
    const where = `data_dir ${data_dir ?? "(memory)"}`;
    const failure = new ArqonError("spine-unavailable", `${where}: ${useProblem(FILE, text)}`, {
      cause,
    });
    onFailed(failure);
    throw failure;
  }
}

function guarded(table: ObjectTable, guard: <T>(run: () => T) => T): ObjectTable {
  return {
    get: (bucket, name) => guard(() => table.get(bucket, name)),
    put: (bucket, name, value) => guard(() => table.put(bucket, name, value)),
    remove: (bucket, name) => guard(() => table.remove(bucket, name)),
    list: (bucket) => guard(() => table.list(bucket)),
  };
}

/** Opens the database, locks it and makes it if need be. Throws `spine-unavailable`. */
export function openStore(data_dir: string | undefined): KvStore {
  const { database, ...statements } = openDatabase(data_dir);
  const file = backupFile(database, FILE, data_dir);
  const guard = <T>(run: () => T): T => onDisk(data_dir, run, (error) => store.onFailed(error));
  const write = (bucket: string, change: (revision: number) => void): number =>
    guard(() => {
      database.exec("BEGIN");
      try {
        const revision = Number(statements.bump.get(bucket)?.["revision"]);
        change(revision);
        database.exec("COMMIT");
        return revision;
      } catch (error) {
        // A full or failing disk has made SQLite roll back on its own.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw error;
      }
    });
  const store: KvStore = {
    onFailed: () => {},
    get(bucket, key) {
      const row = guard(() => statements.get.get(bucket, key));
      return row === undefined ? undefined : storedEntry(row);
    },
    keys: (bucket, prefix) =>
      guard(() => statements.keys.all(bucket, prefix)).map((row) => String(row["key"])),
    sizes: (bucket, prefix) =>
      guard(() => statements.sizes.all(bucket, prefix)).map((row) => ({
        key: String(row["key"]),
        size_bytes: Number(row["size_bytes"]),
      })),
    put: (bucket, key, value) =>
      write(bucket, (revision) => void statements.put.run(bucket, key, value, revision)),
    remove: (bucket, key) => write(bucket, () => void statements.remove.run(bucket, key)),
    objects: guarded(objectTable(database), guard),
    ledgers: ledgerTable(database, guard),
    prove: (size_bytes) => guard(() => proveWritable(database, size_bytes)),
    file,
    close: () => closeBacked(database, file),
  };
  return store;
}
