/**
 * The files of the embedded engine, and backups of them: all frozen in one turn, so that they are consistent, and
 * readable while the engine continues to write. New writes go to the write-ahead log; before they move into the file,
 * the pages that they replace are saved beside it. A backup is aborted when too much is written meanwhile.
 */
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../env.ts";
import type { SpineBackup } from "../contract/spine.ts";
import { inTransaction, openProblem, proveWritable, scrub } from "./embedded_database.ts";
import type { DataFile } from "./embedded_database.ts";

const messageOf = (cause: unknown) => cause instanceof Error ? cause.message : String(cause);

/** Interval between two looks at the waiting bytes, in ms: what is written meanwhile moves into a file in one turn. */
const WATCH_MS = 20;

type BackupName = SpineBackup["files"][number]["name"];

/** What the newest change of each is, by the files that backups have. */
const NEWEST: Readonly<Record<BackupName, string>> = {
  "spine.sqlite": "SELECT 'bucket:' || name AS name, revision AS newest FROM bucket ORDER BY 1",
  "usage.sqlite":
    "SELECT 'use:' || tenant AS name, max(id) AS newest FROM block GROUP BY tenant ORDER BY 1",
  "log.sqlite": "SELECT 'log:' || tenant AS name, last AS newest FROM log ORDER BY 1",
  "audit.sqlite": "SELECT 'audit' AS name, seq AS newest FROM sqlite_sequence",
};

type BackedUp = EngineFile & { readonly name: BackupName };

const isBackedUp = (file: EngineFile): file is BackedUp => file.name in NEWEST;

function sequencesOf({ database, name }: BackedUp): Record<string, number> {
  const rows = database.prepare(NEWEST[name]).all();
  return Object.fromEntries(rows.map((row) => [String(row["name"]), Number(row["newest"])]));
}

/** A file that exists in `data_dir` while `arq restore` moves the databases into place. */
export const RESTORE_MARK = "restore.unfinished";

/** Throws if a restore is unfinished, so the databases may be inconsistent. Call it with `data_dir` locked. */
export function requireRestored(data_dir: string): void {
  const names = Array.from(Deno.readDirSync(data_dir), ({ name }) => name);
  if (!names.includes(RESTORE_MARK)) return;
  throw new Error("arq restore was cut short there: run it again, with --force");
}

/** What making backups needs. */
interface BackupOptions extends Pick<Env, "log" | "now"> {
  /** The files; none if all data are in memory. A backup has those that `NEWEST` names. */
  readonly files: () => readonly EngineFile[];
  /** Bytes that may wait in all files together while a backup is read. */
  readonly waiting_bytes_max: number;
}

/** Makes the backups of one engine, one at a time. */
export class EmbeddedBackups {
  readonly #options: BackupOptions;
  /** Ends the backup that is under way. */
  #end: ((why: Error) => void) | undefined;

  constructor(options: BackupOptions) {
    this.#options = options;
  }

  /** Begins a backup. Throws `too-many-pending`, `invalid-settings`, and errors of the disk. */
  open(): SpineBackup {
    const files = this.#options.files().filter(isBackedUp);
    const { now } = this.#options;
    if (files.length === 0) {
      const detail = "there is nothing to back up: without [server] data_dir, all is in memory";
      throw new ArqonError("invalid-settings", detail);
    }
    if (this.#end !== undefined) throw new ArqonError("too-many-pending", "a backup is under way");
    const frozen: FrozenFile[] = [];
    const taken_ms = now();
    try {
      for (const file of files) frozen.push(file.freeze());
      const sequences = files.map(sequencesOf);
      return this.#watched(taken_ms, files, frozen, sequences);
    } catch (cause) {
      for (const one of frozen) one.release(new Error("not all files could be frozen"));
      throw new ArqonError("spine-unavailable", messageOf(cause), { cause });
    }
  }

  get is_under_way(): boolean {
    return this.#end !== undefined;
  }

  /** Ends the backup that is under way: the files are about to close. */
  close(why: Error): void {
    this.#end?.(why);
  }

  #watched(
    taken_ms: number,
    files: readonly BackedUp[],
    frozen: readonly FrozenFile[],
    sequences: readonly Record<string, number>[],
  ): SpineBackup {
    const { log, waiting_bytes_max } = this.#options;
    const waiting_bytes = () => frozen.reduce((total, one) => total + one.waiting_bytes(), 0);
    const end = (why: Error) => {
      clearInterval(timer);
      for (const one of frozen) one.release(why);
      // The next one may be under way by now.
      if (this.#end === end) this.#end = undefined;
    };
    const watch = () => {
      try {
        for (const one of frozen) one.settle();
      } catch (cause) {
        return end(new ArqonError("spine-unavailable", String(cause), { cause }));
      }
      const bytes = waiting_bytes();
      if (bytes <= waiting_bytes_max) return;
      log.warn("a backup is given up: too much is written meanwhile", { bytes });
      const detail = `the backup took too long: ${bytes} bytes were written meanwhile, more than ` +
        "limits.backup_waiting_bytes";
      end(new ArqonError("at-capacity", detail));
    };
    this.#end = end;
    const timer = setInterval(watch, WATCH_MS);
    return {
      taken_ms,
      files: files.map(({ name }, at) => {
        const { size_bytes, read } = frozen[at] as FrozenFile;
        return { name, size_bytes, sequences: sequences[at] ?? {}, read };
      }),
      waiting_bytes,
      release: () => end(new ArqonError("spine-unavailable", "the backup has ended")),
    };
  }
}

/** Bytes read from the file at a time; each read blocks the process. */
const PIECE_BYTES = 131_072;
/** When the write-ahead log moves into the file, in pages: SQLite's own default. One such move blocks the process. */
const CHECKPOINT_PAGES = 1_000;
/** The format of a write-ahead log: https://sqlite.org/fileformat2.html#walformat */
const LOG_HEAD_BYTES = 32;
const FRAME_HEAD_BYTES = 24;

/** A file as it was at one moment. */
interface FrozenFile {
  readonly size_bytes: number;
  /** Bytes that it keeps beside the file: the write-ahead log and the saved pages. */
  waiting_bytes(): number;
  /**
   * Moves the write-ahead log into the file if it has grown long. Call it often: the longer it is, the longer that
   * blocks the process. Throws errors of the disk.
   */
  settle(): void;
  /** Reads the file. Rejects with the reason of `release` once that was called. */
  read(): AsyncGenerator<Uint8Array<ArrayBuffer>>;
  /** Ends the freeze: later checkpoints write into the file again. */
  release(why: Error): void;
}

/** An open database of the engine: a file, which can be frozen, once at a time, or in memory. */
export abstract class EngineFile<Rows = unknown> {
  readonly name: DataFile;
  readonly database: DatabaseSync;
  /** Its prepared statements. */
  readonly rows: Rows;
  /** True when the data outlive the process. */
  readonly persistent: boolean;
  /** Throws when the engine is not open. */
  assertOpen: () => void = () => {};
  /** Called when a transaction was rolled back. */
  onRollback: () => void = () => {};
  /** Called for every failure of the file or its disk. */
  onFailed: (error: unknown) => void = () => {};
  readonly #path: string;
  /**
   * The descriptor for reading. It stays open until the database has closed: whichever descriptor of a file a process
   * closes, the system drops the process's locks on that file, and so the lock of the data. Reads are synchronous for
   * the same reason: Deno's asynchronous calls close a copy of the descriptor.
   */
  #reading: Deno.FsFile | undefined;
  #frozen: FrozenFile | undefined;

  /** Opens the file; creates it if missing. Throws `spine-unavailable`, also if `prepare` fails, with what to do. */
  constructor(
    name: DataFile,
    data_dir: string | undefined,
    prepare: (database: DatabaseSync) => Rows,
  ) {
    this.name = name;
    this.persistent = data_dir !== undefined;
    this.#path = data_dir === undefined ? ":memory:" : `${data_dir}/${name}`;
    try {
      if (data_dir !== undefined) Deno.mkdirSync(data_dir, { recursive: true, mode: 0o700 });
      this.database = new DatabaseSync(this.#path);
      try {
        this.rows = prepare(this.database);
      } catch (error) {
        this.database.close();
        throw error;
      }
    } catch (cause) {
      const where = data_dir ?? "(memory)";
      const why = openProblem(where, name, messageOf(cause));
      throw new ArqonError("spine-unavailable", `data_dir ${where} ${why}`, { cause });
    }
  }

  /** Runs statements; failures of the disk become an error with a remedy. */
  readonly guard = <T>(run: () => T): T => {
    try {
      return run();
    } catch (cause) {
      if (cause instanceof ArqonError) throw cause;
      const failure = this.failure(messageOf(cause), cause);
      this.onFailed(failure);
      throw failure;
    }
  };

  /** As `guard`, for a call from outside: throws when the engine is not open. */
  ask<T>(run: (rows: Rows) => T): T {
    this.assertOpen();
    return this.guard(() => run(this.rows));
  }

  /** Runs changes as one transaction: when `run` throws, nothing is changed. */
  transaction<T>(run: () => T): T {
    return this.guard(() => {
      try {
        return inTransaction(this.database, run);
      } catch (error) {
        this.onRollback();
        throw error;
      }
    });
  }

  /** Throws if this many bytes cannot be written. */
  prove(size_bytes: number): void {
    this.guard(() => proveWritable(this.database, size_bytes));
  }

  /** Closes the database, and ends a backup of it. */
  close(): void {
    // Closing checkpoints the log into the file.
    this.#frozen?.release(new Error("the engine has closed"));
    this.database.close();
    this.#reading?.close();
  }

  /** What callers get for an error of SQLite. */
  protected abstract failure(message: string, cause: unknown): ArqonError;

  get is_frozen(): boolean {
    return this.#frozen !== undefined;
  }

  /** Freezes the file; not within a transaction. Throws errors of the disk, and RangeError if it is already frozen. */
  freeze(): FrozenFile {
    if (this.#frozen !== undefined) throw new RangeError(`${this.#path} is frozen`);
    this.#reading ??= Deno.openSync(this.#path, { read: true });
    const checkpoint = this.#pragma("wal_checkpoint(TRUNCATE)");
    if (checkpoint["busy"] !== 0) throw new Error(`${this.#path} cannot be frozen: it is busy`);
    const pages = Number(this.#pragma("page_count")["page_count"]);
    const page_bytes = Number(this.#pragma("page_size")["page_size"]);
    const size_bytes = pages * page_bytes;
    const saved = new SavedPages(this.#path, page_bytes);
    // The last step: if a later one failed, nothing would move the write-ahead log into the file again.
    this.database.exec("PRAGMA wal_autocheckpoint = 0");
    let ended: Error | undefined;
    const frozen: FrozenFile = {
      size_bytes,
      waiting_bytes: () => ended === undefined ? this.#logBytes() + saved.size_bytes : 0,
      settle: () => {
        if (ended !== undefined || this.#logBytes() < CHECKPOINT_PAGES * page_bytes) return;
        for (const at of this.#logged(page_bytes)) {
          if (at >= size_bytes || saved.has(at)) continue;
          saved.save(at, this.#readAt(at, page_bytes));
        }
        // What it cannot move now stays in the log, whose pages are saved already.
        this.#pragma("wal_checkpoint(TRUNCATE)");
      },
      read: () => this.#read(size_bytes, saved, () => ended),
      release: (why) => {
        if (ended !== undefined) return;
        ended = why;
        this.#frozen = undefined;
        saved.close();
        this.database.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
      },
    };
    this.#frozen = frozen;
    return frozen;
  }

  /** Rewrites the file, so that neither it nor its log contains removed data. Not while it is frozen. */
  scrub(): void {
    if (this.#frozen !== undefined) throw new RangeError(`${this.#path} is frozen`);
    this.guard(() => scrub(this.database, dirname(this.#path)));
  }

  #pragma(text: string): Record<string, unknown> {
    return this.database.prepare(`PRAGMA ${text}`).get() ?? {};
  }

  #logBytes(): number {
    try {
      return Deno.statSync(`${this.#path}-wal`).size;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return 0;
      throw error;
    }
  }

  /** Where in the file the pages of the write-ahead log belong; those of transactions that were rolled back, too. */
  *#logged(page_bytes: number): Generator<number> {
    using log = Deno.openSync(`${this.#path}-wal`, { read: true });
    const number = new DataView(new ArrayBuffer(4));
    const frame_bytes = FRAME_HEAD_BYTES + page_bytes;
    for (let at = LOG_HEAD_BYTES;; at += frame_bytes) {
      log.seekSync(at, Deno.SeekMode.Start);
      if (log.readSync(new Uint8Array(number.buffer)) !== number.byteLength) return;
      yield (number.getUint32(0) - 1) * page_bytes;
    }
  }

  #readAt(at: number, size_bytes: number): Uint8Array<ArrayBuffer> {
    const file = this.#reading;
    if (file === undefined) throw new RangeError(`${this.#path} is closed`);
    const buffer = new Uint8Array(size_bytes);
    readAt(file, this.#path, at, buffer);
    return buffer;
  }

  async *#read(
    size_bytes: number,
    saved: SavedPages,
    ended: () => Error | undefined,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let at = 0; at < size_bytes; at += PIECE_BYTES) {
      // After the release, the bytes may be newer than the frozen state.
      const why = ended();
      if (why !== undefined) throw why;
      const piece = this.#readAt(at, Math.min(PIECE_BYTES, size_bytes - at));
      saved.restore(at, piece);
      yield piece;
    }
  }
}

/** Fills `bytes` from that place of a file. Throws errors of the disk, and if the file ends before. */
function readAt(file: Deno.FsFile, path: string, at: number, bytes: Uint8Array): void {
  file.seekSync(at, Deno.SeekMode.Start);
  if (file.readSync(bytes) !== bytes.length) throw new Error(`${path} is shorter than its pages`);
}

/**
 * The pages of a frozen file that were overwritten since, as they were at its freeze: in a file beside it. So the
 * write-ahead log can be moved into the frozen file step by step, instead of all at once when the freeze ends.
 */
class SavedPages {
  readonly #path: string;
  readonly #page_bytes: number;
  readonly #file: Deno.FsFile;
  /** From the place of a page in the frozen file to that of its copy, in bytes. */
  readonly #copies = new Map<number, number>();

  constructor(path: string, page_bytes: number) {
    this.#path = `${path}-saved`;
    this.#page_bytes = page_bytes;
    const how = { create: true, truncate: true, read: true, write: true, mode: 0o600 };
    this.#file = Deno.openSync(this.#path, how);
    // Without a name it cannot outlive the process. Windows keeps the names of open files.
    if (Deno.build.os === "windows") return;
    try {
      Deno.removeSync(this.#path);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  get size_bytes(): number {
    return this.#copies.size * this.#page_bytes;
  }

  has(at: number): boolean {
    return this.#copies.has(at);
  }

  /** Saves the page that begins at `at` of the frozen file. Throws errors of the disk. */
  save(at: number, page: Uint8Array): void {
    const copy_at = this.size_bytes;
    this.#file.seekSync(copy_at, Deno.SeekMode.Start);
    for (let done = 0; done < page.length;) done += this.#file.writeSync(page.subarray(done));
    this.#copies.set(at, copy_at);
  }

  /** Puts the saved pages into what was read from `at` of the file. Throws errors of the disk. */
  restore(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; done += this.#page_bytes) {
      const copy_at = this.#copies.get(at + done);
      if (copy_at === undefined) continue;
      readAt(this.#file, this.#path, copy_at, bytes.subarray(done, done + this.#page_bytes));
    }
  }

  close(): void {
    this.#file.close();
    if (Deno.build.os === "windows") Deno.removeSync(this.#path);
  }
}
