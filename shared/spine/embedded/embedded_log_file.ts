/**
 * The file of the embedded engine's logs on `node:sqlite`: a separate file under `data_dir`, with its own
 * `synchronous`, or in memory. Opens, locks and bounds it, and turns failures into errors with a remedy. Its rows are
 * in `embedded_log_rows.ts`.
 */
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import { PROOF_SCHEMA, requireVersion, useProblem } from "./embedded_database.ts";
import { LOG_REMEDY, type LogLimits } from "../contract/durable_log.ts";
import { EngineFile } from "./embedded_backup.ts";
import { LogRows } from "./embedded_log_rows.ts";

const FILE = "log.sqlite";
/** `PRAGMA user_version` of the schema below. */
const VERSION = 1;
const PAGE_BYTES = 4_096;
/** More bytes than one transaction of appends takes. */
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
  ${PROOF_SCHEMA}
  CREATE TABLE IF NOT EXISTS life (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL, name TEXT NOT NULL, first INTEGER NOT NULL
  ) STRICT;
  -- Up to which offset messages of a room were erased (-log: of the log's forgotten rooms); 0: the highest id that a
  -- forgotten room had.
  CREATE TABLE IF NOT EXISTS erased (room INTEGER PRIMARY KEY, offset INTEGER NOT NULL) STRICT;
  PRAGMA user_version = ${VERSION};`;

function prepared(database: DatabaseSync, limits: LogLimits): LogRows {
  // FULL at first: the changes made by opening reach the disk before the first message.
  database.exec(
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" +
      "PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -8192; BEGIN EXCLUSIVE; COMMIT;",
  );
  requireVersion(database, VERSION);
  database.exec(SCHEMA);
  const pages = Math.floor(limits.log_bytes / PAGE_BYTES);
  database.exec(`PRAGMA max_page_count = ${pages}; PRAGMA synchronous = ${limits.synchronous};`);
  return new LogRows(database);
}

/** The open file. Failures are `log-unavailable`; a call that fails has changed nothing. */
export class LogFile extends EngineFile<LogRows> {
  readonly #limits: LogLimits;

  /**
   * Opens and locks the file; creates it if missing. Throws `spine-unavailable` with the file's name if it is in use,
   * not writable, not a database, or of another version.
   */
  constructor(data_dir: string | undefined, limits: LogLimits) {
    super(FILE, data_dir, (database) => prepared(database, limits));
    this.#limits = limits;
    this.onRollback = () => this.rows.forgetUsage();
  }

  /** Bytes of the messages, overhead included. */
  usedBytes(): number {
    return this.guard(() => (this.rows.pages() - this.rows.freePages()) * PAGE_BYTES);
  }

  freeBytes(): number {
    return Math.max(0, this.#limits.log_bytes - this.usedBytes());
  }

  /** A transaction that survives a power cut, whatever `synchronous` is set to. */
  lasting(run: () => void): void {
    this.database.exec("PRAGMA synchronous = FULL");
    try {
      this.transaction(run);
    } finally {
      this.database.exec(`PRAGMA synchronous = ${this.#limits.synchronous}`);
    }
  }

  /** Brings everything written so far to the disk, unless `synchronous` is `off`. */
  checkpoint(): void {
    // A backup needs an unchanged file; the write-ahead log keeps the writes safe.
    if (this.is_frozen) return;
    this.guard(() => this.database.exec("PRAGMA wal_checkpoint(PASSIVE)"));
  }

  protected failure(message: string, cause: unknown): ArqonError {
    const why = /is full/.test(message) ? this.#full() : useProblem(FILE, message);
    return new ArqonError("log-unavailable", why, { cause });
  }

  /**
   * The error text of a full file: the limit that it is near. The failed write has already returned its pages, so usage
   * is only near the limit.
   */
  #full(): string {
    const bytes = this.rows.pages() * PAGE_BYTES;
    if (bytes + NEAR_BYTES < this.#limits.log_bytes) return "the disk is full";
    return `it is full; ${LOG_REMEDY}`;
  }
}
