/**
 * A frozen view of a database file of the embedded engine, readable while the engine continues to write. New writes go
 * to the write-ahead log; before they move into the file, the pages that they replace are saved beside it. It copies
 * nothing else and blocks no writer.
 */
import type { DatabaseSync } from "node:sqlite";
import { scrub } from "./embedded_scrub.ts";

/** Bytes read from the file at a time; each read blocks the process. */
const PIECE_BYTES = 131_072;
/** When the write-ahead log moves into the file, in pages: SQLite's own default. One such move blocks the process. */
const CHECKPOINT_PAGES = 1_000;
/** The format of a write-ahead log: https://sqlite.org/fileformat2.html#walformat */
const LOG_HEAD_BYTES = 32;
const FRAME_HEAD_BYTES = 24;

/** A file as it was at one moment. */
export interface FrozenFile {
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

/** An open database that can be frozen, once at a time. */
export class FreezableFile {
  readonly #database: DatabaseSync;
  readonly #path: string;
  /**
   * The descriptor for reading. It stays open until the database has closed: whichever descriptor of a file a process
   * closes, the system drops the process's locks on that file, and so the lock of the data. Reads are synchronous for
   * the same reason: Deno's asynchronous calls close a copy of the descriptor.
   */
  #reading: Deno.FsFile | undefined;
  #frozen: FrozenFile | undefined;

  constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  get is_frozen(): boolean {
    return this.#frozen !== undefined;
  }

  /** Freezes the file; not within a transaction. Throws errors of the disk, and RangeError if it is already frozen. */
  freeze(): FrozenFile {
    if (this.#frozen !== undefined) throw new RangeError(`${this.#path} is frozen`);
    this.#reading ??= Deno.openSync(this.#path, { read: true });
    const checkpoint = this.#pragma("wal_checkpoint(TRUNCATE)");
    if (checkpoint["busy"] !== 0) throw new Error(`${this.#path} cannot be frozen: it is busy`);
    this.#database.exec("PRAGMA wal_autocheckpoint = 0");
    const pages = Number(this.#pragma("page_count")["page_count"]);
    const page_bytes = Number(this.#pragma("page_size")["page_size"]);
    const size_bytes = pages * page_bytes;
    const saved = new SavedPages(this.#path, page_bytes);
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
        this.#database.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
      },
    };
    this.#frozen = frozen;
    return frozen;
  }

  /** Rewrites the file, so that neither it nor its log contains removed data. Not while it is frozen. */
  scrub(): void {
    if (this.#frozen !== undefined) throw new RangeError(`${this.#path} is frozen`);
    scrub(this.#database);
  }

  /** Ends a read. Call it before closing the database, which checkpoints the log into the file. */
  release(why: Error): void {
    this.#frozen?.release(why);
  }

  /** Call it after the database has closed. */
  close(): void {
    this.#reading?.close();
    this.#reading = undefined;
  }

  #pragma(text: string): Record<string, unknown> {
    return this.#database.prepare(`PRAGMA ${text}`).get() ?? {};
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
    if (Deno.build.os !== "windows") Deno.removeSync(this.#path);
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
