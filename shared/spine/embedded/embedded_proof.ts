/**
 * Finds out whether a database of the embedded engine can be written now, by a write that is really
 * made and taken back. A read, or an empty transaction, succeeds on a full disk.
 */
import type { DatabaseSync } from "node:sqlite";

/** The table of the proof; empty except while one is made. */
export const PROOF_SCHEMA = `
  CREATE TABLE IF NOT EXISTS proof (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;`;

/**
 * Throws what SQLite says when so many bytes cannot be written. Not to be called within a
 * transaction.
 */
export function proveWritable(database: DatabaseSync, size_bytes: number): void {
  // Each is a transaction of its own: what is taken back before its end never comes to the disk.
  database.exec(`INSERT OR REPLACE INTO proof VALUES (1, zeroblob(${Math.trunc(size_bytes)}))`);
  database.exec("DELETE FROM proof");
}
