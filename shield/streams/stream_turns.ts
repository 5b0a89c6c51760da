/** Lets what concerns one stream happen one after another in this process. Other processes are held
 * off by compare-and-set alone. */

/** The turns of all streams; a stream that nobody waits for takes no memory. */
export class StreamTurns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` when everything that was asked for before under this name is over. */
  async run<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#last.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(name) === mine) this.#last.delete(name);
    }
  }
}
