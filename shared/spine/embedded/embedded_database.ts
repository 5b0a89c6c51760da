/**
 * Common code of the embedded engine's databases: transactions, the proof that they are writable, scrubbing, and what
 * to say of a file that cannot be opened or written. `embedded_backup.ts` has the open file; their content is defined
 * in the other files of this folder.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { statfsSync, statSync } from "node:fs";

/** The table of `proveWritable`; empty except while one is made. */
export const PROOF_SCHEMA = `
  CREATE TABLE IF NOT EXISTS proof (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;`;

/** Throws if the file has another `PRAGMA user_version` and is not new. */
export function requireVersion(database: DatabaseSync, known: number): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version === 0 || version === known) return;
  throw new Error(`its version is ${version}, this ArqonBus knows ${known}`);
}

/** Prepares statements, by name. */
export function prepareAll<Name extends string>(
  database: DatabaseSync,
  sql: Readonly<Record<Name, string>>,
): Readonly<Record<Name, StatementSync>> {
  const all = Object.entries<string>(sql).map(([name, text]) => [name, database.prepare(text)]);
  return Object.fromEntries(all);
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

/** A database of the embedded engine. */
export type DataFile =
  | "spine.sqlite"
  | "log.sqlite"
  | "journal.sqlite"
  | "usage.sqlite"
  | "ledger.sqlite"
  | "audit.sqlite";

const HOLDS: Readonly<Record<DataFile, string>> = {
  "spine.sqlite": "the state of rooms, policies, schemas, bans and revocations",
  "log.sqlite": "the messages of durable rooms",
  "journal.sqlite": "the journal of decisions, without which everything else works",
  "usage.sqlite": "the ledger of use, without which everything else works",
  "ledger.sqlite": "the ledger of deliveries, without which everything else works",
  "audit.sqlite": "the audit log, without which everything else works except changes by admins",
};

/** The kinds of trouble with a file, by remedy. */
type Trouble = "full" | "damaged" | "locked" | "refused" | "other";

/** The kind of trouble that a message of SQLite or of the system reports. */
function troubleOf(message: string): Trouble {
  if (/database or disk is full|no space left|disk quota exceeded/i.test(message)) return "full";
  if (/malformed|not a database|corrupt/i.test(message)) return "damaged";
  if (/database is locked/.test(message)) return "locked";
  const is_refused = /readonly|unable to open|disk I\/O|denied|read-only/i.test(message);
  return is_refused ? "refused" : "other";
}

/** Whether that message says that the disk is full. */
export const isDiskFull = (message: string): boolean => troubleOf(message) === "full";

/** The remedy for a damaged file; the sentence follows the one about its content. */
const SAVE = "put a backup of the folder back, or save what can be read with";
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** A size for people, for example "12.5 MiB". */
function sizeText(bytes: number): string {
  let unit = 0;
  let size = bytes;
  for (; size >= 1_024 && unit < UNITS.length - 1; unit++) size /= 1_024;
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`;
}

/** The result of `read`; undefined if the system or a permission denies it. */
function known<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The free space in words, "12.0 KiB of 64.0 MiB are free"; "" if unknown. */
export function freeText(folder: string): string {
  const disk = known(() => statfsSync(folder));
  if (disk === undefined) return "";
  return `${sizeText(disk.bavail * disk.bsize)} of ${sizeText(disk.blocks * disk.bsize)} are free`;
}

/** Whether the file exists. */
export const hasFile = (data_dir: string, file: DataFile): boolean =>
  known(() => statSync(`${data_dir}/${file}`)) !== undefined;

function fileText(data_dir: string, file: DataFile): string {
  const size = known(() => statSync(`${data_dir}/${file}`).size);
  return size === undefined ? file : `${file} (${sizeText(size)})`;
}

function fullText(data_dir: string, file: DataFile): string {
  const free = freeText(data_dir);
  return `cannot be opened: its disk is full${free === "" ? "" : ` (${free})`}. Nothing is lost: ` +
    "free some room there, or copy the whole folder to a larger disk and name that in " +
    `[server] data_dir, and start again. Do not delete ${fileText(data_dir, file)} or its -wal: ` +
    `they hold ${HOLDS[file]}. A lower [durable] log_bytes, history_size or ` +
    "history_ttl_seconds keeps what is to come smaller";
}

function damagedText(data_dir: string, file: DataFile, message: string): string {
  return `cannot be opened (${message}): ${fileText(data_dir, file)} is damaged; it holds ` +
    `${HOLDS[file]}. To go on, ${SAVE} \`sqlite3 ${file} .recover | sqlite3 saved.sqlite\` and ` +
    `put that in its place. Moving ${file} and its -wal away starts without all of it`;
}

/** Why a file of `data_dir` could not be opened, and what to do; the text follows "data_dir …". */
export function openProblem(data_dir: string, file: DataFile, message: string): string {
  const trouble = troubleOf(message);
  switch (trouble) {
    case "full":
      return fullText(data_dir, file);
    case "damaged":
      return damagedText(data_dir, file, message);
    case "locked":
      return "is in use by another ArqonBus process; stop that one or choose another data_dir";
    case "refused":
      return `cannot be opened (${message}; may this user write there?)`;
    case "other":
      return `cannot be opened: ${file}: ${message}`;
    default:
      return trouble satisfies never;
  }
}

/** Why a file that is open could not be read or written, in a few words. */
export function useProblem(file: DataFile, message: string): string {
  const trouble = troubleOf(message);
  switch (trouble) {
    case "full":
      return "the disk is full";
    case "damaged":
      return `${file} is damaged (${message}): ${SAVE} sqlite3's .recover`;
    case "locked":
    case "refused":
    case "other":
      return message;
    default:
      return trouble satisfies never;
  }
}

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

/**
 * Scrubs the database; not within a transaction. Throws errors of the disk, and has then changed nothing. The copies
 * are on the disk of `folder`, in files without a name: any other may be too small, and is not meant for the data.
 */
export function scrub(database: DatabaseSync, folder: string): void {
  const directory = (path: string) =>
    database.exec(`PRAGMA temp_store_directory = '${path.replaceAll("'", "''")}'`);
  directory(folder);
  database.exec("PRAGMA secure_delete = ON");
  try {
    inTransaction(database, () => rewrite(database));
  } finally {
    database.exec("PRAGMA secure_delete = OFF");
    directory("");
    // Also after a failure: the write-ahead log would keep the disk full for all others.
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
}
