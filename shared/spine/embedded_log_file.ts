/**
 * The file of the embedded engine's logs on `node:sqlite`: one of its own under `data_dir`, so that
 * its `synchronous` is its own, or in memory. Opens, locks and bounds it, and turns what fails into
 * errors that say what to do. Its rows are the matter of `embedded_log_rows.ts`.
 */
import { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import type { LogLimits } from "./durable_log.ts";

const FILE = "log.sqlite";
/** `PRAGMA user_version` of the schema below. */
const VERSION = 1;
const PAGE_BYTES = 4_096;
/** More than one transaction of appends takes. */
const NEAR_BYTES = 8_388_608;
// One writer, no foreign keys: a room is removed only with its messages.
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL UNIQUE, stream TEXT NOT NULL,
    last INTEGER NOT NULL DEFAULT 0, reserved INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 0, time_ms INTEGER NOT NULL DEFAULT 0,
    history_size INTEGER NOT NULL, history_ttl_seconds INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS room (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL,
    floor INTEGER NOT NULL, messages INTEGER NOT NULL, bytes INTEGER NOT NULL,
    oldest_ms INTEGER NOT NULL, newest_ms INTEGER NOT NULL, UNIQUE (log, name)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS message (
    room INTEGER NOT NULL, offset INTEGER NOT NULL, time_ms INTEGER NOT NULL, headers TEXT,
    payload BLOB NOT NULL, PRIMARY KEY (room, offset)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS repeat (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, offset INTEGER NOT NULL,
    time_ms INTEGER NOT NULL
  ) STRICT;
  PRAGMA user_version = ${VERSION};`;

function why(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (/database is locked/.test(message)) {
    return "is in use by another ArqonBus process; stop that one or choose another data_dir";
  }
  return `cannot be opened: ${FILE}: ${message}; if it is damaged, move it away, and the durable ` +
    "rooms start anew";
}

function open(path: string, limits: LogLimits): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    // FULL at first: what opening changes is on the disk before the first message is.
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" +
        "PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -8192; BEGIN EXCLUSIVE; COMMIT;",
    );
    const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version !== 0 && version !== VERSION) {
      throw new Error(`its version is ${version}, this ArqonBus knows ${VERSION}`);
    }
    // Whether a power cut took the last messages nobody knows, but no offset may come twice.
    database.exec(`${SCHEMA} UPDATE log SET last = max(last, reserved);`);
    const pages = Math.floor(limits.log_bytes / PAGE_BYTES);
    database.exec(`PRAGMA max_page_count = ${pages}; PRAGMA synchronous = ${limits.synchronous};`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The open database. Failures are `log-unavailable`; what failed has changed nothing. */
export interface LogFile {
  readonly database: DatabaseSync;
  /** Whether it outlives the process. */
  readonly persistent: boolean;
  /** Everything that `run` changes or, when it throws, nothing. */
  transaction<T>(run: () => T): T;
  /** A transaction that a power cut does not take once it is done, whatever `synchronous` says. */
  lasting(run: () => void): void;
  /** As `run`, with its failures made `log-unavailable`. */
  reading<T>(run: () => T): T;
  /** Brings everything written so far to the disk, unless `synchronous` is `off`. */
  checkpoint(): void;
  close(): void;
}

class OpenFile implements LogFile {
  readonly database: DatabaseSync;
  readonly persistent: boolean;
  readonly #limits: LogLimits;

  constructor(database: DatabaseSync, limits: LogLimits, persistent: boolean) {
    this.database = database;
    this.persistent = persistent;
    this.#limits = limits;
  }

  transaction<T>(run: () => T): T {
    return this.reading(() => {
      this.database.exec("BEGIN IMMEDIATE");
      try {
        const result = run();
        this.database.exec("COMMIT");
        return result;
      } catch (error) {
        // A full or failing disk has made SQLite roll back by itself.
        if (this.database.isTransaction) this.database.exec("ROLLBACK");
        throw error;
      }
    });
  }

  lasting(run: () => void): void {
    this.database.exec("PRAGMA synchronous = FULL");
    try {
      this.transaction(run);
    } finally {
      this.database.exec(`PRAGMA synchronous = ${this.#limits.synchronous}`);
    }
  }

  reading<T>(run: () => T): T {
    try {
      return run();
    } catch (cause) {
      if (cause instanceof ArqonError) throw cause;
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new ArqonError("log-unavailable", /is full/.test(text) ? this.#full() : text, {
        cause,
      });
    }
  }

  checkpoint(): void {
    this.reading(() => this.database.exec("PRAGMA wal_checkpoint(PASSIVE)"));
  }

  close(): void {
    this.database.close();
  }

  /** Both limits fail alike. What failed gave its pages back, so "near it" is the measure. */
  #full(): string {
    const row = this.database.prepare("PRAGMA page_count").get();
    const bytes = Number(row?.["page_count"]) * PAGE_BYTES;
    if (bytes + NEAR_BYTES < this.#limits.log_bytes) return "the disk is full";
    return "it is full; raise [durable] log_bytes, or keep less with history_size and " +
      "history_ttl_seconds";
  }
}

/**
 * Opens, locks and if need be makes the file. Throws `spine-unavailable` naming it when it is in use,
 * cannot be written, is no database or of another version.
 */
export function openLogFile(data_dir: string | undefined, limits: LogLimits): LogFile {
  const path = data_dir === undefined ? ":memory:" : `${data_dir}/${FILE}`;
  try {
    return new OpenFile(open(path, limits), limits, data_dir !== undefined);
  } catch (cause) {
    const where = data_dir === undefined ? "the log in memory" : `data_dir ${data_dir}`;
    throw new ArqonError("spine-unavailable", `${where} ${why(cause)}`, { cause });
  }
}
