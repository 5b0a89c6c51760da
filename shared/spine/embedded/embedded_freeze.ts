/**
 * A database file of the embedded engine as it was at one moment, read while the engine goes on
 * writing. New writes wait in the write-ahead log, so that the file itself does not change. No copy
 * is made, and nobody is held up.
 */
import type { DatabaseSync } from "node:sqlite";
import { scrub } from "./embedded_scrub.ts";

/** Bytes read from the file at a time, while everything else in the process waits. */
const PIECE_BYTES = 131_072;
/** SQLite's own default, in pages. */
const CHECKPOINT_PAGES = 1_000;

/** A file as it was at one moment. */
export interface FrozenFile {
  readonly size_bytes: number;
  /** Bytes that were written since and wait. */
  waiting_bytes(): number;
  /** Reads the file. Rejects with the reason of `release` once that was called. */
  read(): AsyncGenerator<Uint8Array<ArrayBuffer>>;
  /** Ends the freeze: what is queued is written into the file from now on. */
  release(why: Error): void;
}

/** An open database that can be frozen, once at a time. */
export class FreezableFile {
  readonly #database: DatabaseSync;
  readonly #path: string;
  /**
   * The descriptor for reading. It stays open until the database has closed: whichever descriptor
   * of a file a process closes, the system drops the process's locks on that file, and so the lock
   * of the data. That is why it is read without promises, too: Deno's asynchronous calls close a
   * copy of the descriptor.
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

  /**
   * Freezes the file; not within a transaction. Throws what the disk refuses, and RangeError when
   * it is frozen.
   */
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

  /** Writes the file anew, so that nothing of what was removed is left in it or in its log. Not while it is frozen. */
  scrub(): void {
    if (this.#frozen !== undefined) throw new RangeError(`${this.#path} is frozen`);
    scrub(this.#database);
  }

  /**
   * Ends a reading. To be called before the database closes, which moves what is queued into the file.
   */
  release(why: Error): void {
    this.#frozen?.release(why);
  }

  /** To be called when the database has closed. */
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
      // Once it is released, what is read may be of another moment.
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
