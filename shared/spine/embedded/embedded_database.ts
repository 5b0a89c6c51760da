/**
 * What the databases of the embedded engine have in common: how they are opened, changed in transactions, proved to be
 * writable and closed. What is in them is in the files beside this one.
 */
import { DatabaseSync } from "node:sqlite";
import type { BackupFile } from "./embedded_backup.ts";

/** The table of `proveWritable`; empty except while one is made. */
export const PROOF_SCHEMA = `
  CREATE TABLE IF NOT EXISTS proof (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;`;

/** What `open` makes of a database; one for which it throws is closed again. */
export function openDatabase<T>(path: string, open: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path);
  try {
    return open(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Throws when the file has another `PRAGMA user_version` than this one, and is not new. */
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
 * Finds out whether a database can be written now, by a write that is really made and taken back: a read, or an empty
 * transaction, succeeds on a full disk. Throws what SQLite says when so many bytes cannot be written. Not to be called
 * within a transaction.
 */
export function proveWritable(database: DatabaseSync, size_bytes: number): void {
  // Each is a transaction of its own: what is taken back before its end never comes to the disk.
  database.exec(`INSERT OR REPLACE INTO proof VALUES (1, zeroblob(${Math.trunc(size_bytes)}))`);
  database.exec("DELETE FROM proof");
}

/** Closes a database; a backup of it that is being read ends. */
export function closeBacked(database: DatabaseSync, file: BackupFile | undefined): void {
  file?.file.release(new Error("the engine has closed"));
  database.close();
  file?.file.close();
}
