/**
 * Common code of the embedded engine's databases: opening, transactions, the proof that they are writable, closing.
 * Their content is defined in the other files of this folder.
 */
import { DatabaseSync } from "node:sqlite";

/** The table of `proveWritable`; empty except while one is made. */
export const PROOF_SCHEMA = `
  CREATE TABLE IF NOT EXISTS proof (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;`;

/** Runs a statement; errors of the disk become `spine-unavailable`, and nothing has changed then. */
export type Guard = <T>(run: () => T) => T;

/** Opens a database and returns the result of `open`; closes the database if `open` throws. */
export function openDatabase<T>(path: string, open: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path);
  try {
    return open(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Throws if the file has another `PRAGMA user_version` and is not new. */
export function requireVersion(database: DatabaseSync, known: number): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version === 0 || version === known) return;
  throw new Error(`its version is ${version}, this ArqonBus knows ${known}`);
}

/** Runs changes as one transaction: when `run` throws, nothing is changed. */
export function inTransaction<T>(database: DatabaseSync, run: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = run();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    // A full or failing disk has made SQLite roll back on its own.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

/**
 * Tests whether a database is writable now, by a real write that is deleted again: a read or an empty transaction
 * succeeds even on a full disk. Throws SQLite's error if `size_bytes` cannot be written. Do not call it within a
 * transaction.
 */
export function proveWritable(database: DatabaseSync, size_bytes: number): void {
  // Two transactions: a write that is rolled back in the same transaction never reaches the disk.
  database.exec(`INSERT OR REPLACE INTO proof VALUES (1, zeroblob(${Math.trunc(size_bytes)}))`);
  database.exec("DELETE FROM proof");
}
