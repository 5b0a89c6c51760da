/**
 * The pages of a frozen file that were overwritten since, as they were at its freeze: in a file beside it. So the
 * write-ahead log can be moved into the frozen file step by step, instead of all at once when the freeze ends.
 */

/** Fills `bytes` from that place of a file. Throws errors of the disk, and if the file ends before. */
export function readAt(file: Deno.FsFile, path: string, at: number, bytes: Uint8Array): void {
  file.seekSync(at, Deno.SeekMode.Start);
  if (file.readSync(bytes) !== bytes.length) throw new Error(`${path} is shorter than its pages`);
}

/** The pages saved from one file. */
export class SavedPages {
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
