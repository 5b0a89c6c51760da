/**
 * Files that are kept open for nothing, so that there are some to give back when the system has no
 * more: for the Spine, for operators, and for the runtime itself, parts of which end the process when
 * they cannot open a file. One of a process; who accepts connections asks for it.
 */

/** Opens one file that nobody uses. */
type OpenFile = () => { close(): void };

/** Readable by everybody, or with this program's own sources; undefined where neither may be read. */
export function placeholder(): OpenFile | undefined {
  const own = import.meta.filename;
  // What a compiled program reads of itself is no file of the system.
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

/** Holds them until they are wanted, once. */
export class FileReserve {
  #held: { close(): void }[] = [];
  readonly #heirs = new Set<() => void>();

  /** Fewer where there are not that many; then half of what there is stays for everybody. */
  constructor(count: number, open: OpenFile | undefined) {
    try {
      while (open !== undefined && this.#held.length < count) this.#held.push(open());
    } catch {
      for (const file of this.#held.splice(Math.floor(this.#held.length / 2))) file.close();
    }
  }

  /** How many are held. */
  get files(): number {
    return this.#held.length;
  }

  /** `onRelease` is called when files have run out for whoever accepts here. */
  join(onRelease: () => void): void {
    this.#heirs.add(onRelease);
  }

  /** Gives all back, and tells everybody who accepts. False when there are none. */
  release(): boolean {
    const held = this.#held;
    this.#held = [];
    for (const file of held) file.close();
    if (held.length > 0) { for (const onRelease of this.#heirs) onRelease(); }
    return held.length > 0;
  }
}
