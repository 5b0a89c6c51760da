/** Serializes the work on each stream in this process. Compare-and-set protects against other processes. */

/** The queues of all streams; an idle stream takes no memory. */
export class StreamTurns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` after all earlier work under this name has ended. */
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
