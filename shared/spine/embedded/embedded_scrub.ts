/**
 * Rewrites a database in its own pages, so that no bytes of removed rows are left: SQLite leaves them in free pages, in
 * gaps of other pages and in the write-ahead log. `VACUUM` attaches a file, which Deno permits only with all
 * permissions; so the rows of each table move to a temporary table and back into zeroed pages.
 */
import type { DatabaseSync } from "node:sqlite";
import { inTransaction } from "./embedded_database.ts";

const FILL_BYTES = 1_000_000;
const PAGE_BYTES = 4_096;

const numberOf = (database: DatabaseSync, pragma: string): number =>
  Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0] ?? 0);

/** Overwrites every free page: older free pages contain rows removed earlier. */
function fillFree(database: DatabaseSync): void {
  database.exec("CREATE TABLE scrub_fill (zeros BLOB)");
  const fill = database.prepare("INSERT INTO scrub_fill VALUES (zeroblob(?))");
  for (let pages = free(); pages > 0; pages = free()) {
    fill.run(pages * PAGE_BYTES > 2 * FILL_BYTES ? FILL_BYTES : PAGE_BYTES);
  }
  database.exec("DROP TABLE scrub_fill");
  function free(): number {
    return numberOf(database, "freelist_count");
  }
}

function rewrite(database: DatabaseSync): void {
  const tables = database.prepare(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
  ).all().map(({ name }) => `"${String(name)}"`);
  for (const [at, table] of tables.entries()) {
    database.exec(`CREATE TEMP TABLE scrub_${at} AS SELECT * FROM main.${table};`);
    database.exec(`DELETE FROM main.${table}`);
  }
  fillFree(database);
  for (const [at, table] of tables.entries()) {
    database.exec(`INSERT INTO main.${table} SELECT * FROM temp.scrub_${at};`);
    database.exec(`DROP TABLE temp.scrub_${at}`);
  }
}

/** Scrubs the database; not within a transaction. Throws errors of the disk, and has then changed nothing. */
export function scrub(database: DatabaseSync): void {
  database.exec("PRAGMA secure_delete = ON");
  try {
    inTransaction(database, () => rewrite(database));
  } finally {
    database.exec("PRAGMA secure_delete = OFF");
  }
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}
