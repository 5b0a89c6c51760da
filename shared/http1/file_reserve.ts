/**
 * Files that are kept open for no use of their own, so that some can be given back when the system has
 * no more: for the Spine, for operators, and for parts of the runtime that end the process when they
 * cannot open a file. A process has one reserve, and each listener joins it.
 */

/** Opens one file that nobody uses. */
type OpenFile = () => { close(): void };

/**
 * Finds a file that can be opened: one that everybody may read, or a source of this program; undefined
 * where neither may be read.
 */
export function placeholder(): OpenFile | undefined {
  const own = import.meta.filename;
  // A compiled program reads its own sources from itself, not from files of the system.
  const paths = ["/dev/null", ...(own === undefined || Deno.build.standalone ? [] : [own])];
  const path = paths.find((path) => {
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return false;
    try {
      Deno.openSync(path).close();
      return true;
    } catch {
      return false;
    }
  });
  return path === undefined ? undefined : () => Deno.openSync(path);
}

/** Holds files until they are wanted; they are given back only once. */
export class FileReserve {
  #held: { close(): void }[] = [];
  readonly #heirs = new Set<() => void>();

  /**
   * Opens `count` files. Where so many cannot be opened, it keeps half of those that could, and leaves
   * the rest to others.
   */
  constructor(count: number, open: OpenFile | undefined) {
    try {
      while (open !== undefined && this.#held.length < count) this.#held.push(open());
    } catch {
      for (const file of this.#held.splice(Math.floor(this.#held.length / 2))) file.close();
    }
  }

  /** How many files are held. */
  get files(): number {
    return this.#held.length;
  }

  /** Joins a listener; `onRelease` is called when files have run out. */
  join(onRelease: () => void): void {
    this.#heirs.add(onRelease);
  }

  /** Gives all files back and tells every listener. False when there are none. */
  release(): boolean {
    const held = this.#held;
    this.#held = [];
    for (const file of held) file.close();
    if (held.length > 0) { for (const onRelease of this.#heirs) onRelease(); }
    return held.length > 0;
  }
}
