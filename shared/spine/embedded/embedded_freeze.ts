/**
 * A frozen view of a database file of the embedded engine, readable while the engine continues to write. New writes
 * stay in the write-ahead log, so that the file does not change. It makes no copy and blocks no writer.
 */
import type { DatabaseSync } from "node:sqlite";
import { scrub } from "./embedded_scrub.ts";

/** Bytes read from the file at a time; each read blocks the process. */
const PIECE_BYTES = 131_072;
/** SQLite's own default, in pages. */
const CHECKPOINT_PAGES = 1_000;

/** A file as it was at one moment. */
export interface FrozenFile {
  readonly size_bytes: number;
  /** Bytes written to the write-ahead log since. */
  waiting_bytes(): number;
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
    const size_bytes = pages * Number(this.#pragma("page_size")["page_size"]);
    let ended: Error | undefined;
    const frozen: FrozenFile = {
      size_bytes,
      waiting_bytes: () => this.#waiting_bytes(),
      read: () => this.#read(size_bytes, () => ended),
      release: (why) => {
        if (ended !== undefined) return;
        ended = why;
        this.#frozen = undefined;
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

  #waiting_bytes(): number {
    try {
      return Deno.statSync(`${this.#path}-wal`).size;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return 0;
      throw error;
    }
  }

  async *#read(
    size_bytes: number,
    ended: () => Error | undefined,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const file = this.#reading;
    if (file === undefined) throw new RangeError(`${this.#path} is closed`);
    for (let at = 0; at < size_bytes;) {
      // After the release, the bytes may be newer than the frozen state.
      const why = ended();
      if (why !== undefined) throw why;
      const buffer = new Uint8Array(Math.min(PIECE_BYTES, size_bytes - at));
      file.seekSync(at, Deno.SeekMode.Start);
      const count = file.readSync(buffer);
      if (count === null) throw new Error(`${this.#path} is shorter than its pages`);
      at += count;
      yield buffer.subarray(0, count);
    }
  }
}
