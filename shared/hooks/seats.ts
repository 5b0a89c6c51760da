/** A number of seats: who wants one more waits for its turn, and owners take turns. */

interface Waiting {
  readonly onTurn: () => void;
  readonly refuse: (error: Error) => void;
}

/** Seats; each is given back when its holder is disposed of. */
export class Seats {
  #free: number;
  #waiting = 0;
  /** Who waits, by owner; the owner whose turn is next comes first. */
  readonly #owners = new Map<string, Waiting[]>();

  constructor(count: number) {
    this.#free = count;
  }

  /** How many wait for one. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Resolves with a seat. Rejects when the signal says so before that, or when `makeRoom` has evicted it. */
  async take(signal: AbortSignal, owner = ""): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#turn(owner, signal);
    return { [Symbol.dispose]: () => this.#give() };
  }

  /**
   * Sends away the last one of the owner that has most waiting, for one who has fewer. Returns false where the
   * owner itself has as many as any.
   */
  makeRoom(owner: string): boolean {
    const own = this.#owners.get(owner)?.length ?? 0;
    let most: [string, Waiting[]] | undefined;
    for (const one of this.#owners) {
      if (one[1].length > (most?.[1].length ?? own)) most = one;
    }
    const sent = most?.[1].at(-1);
    if (most === undefined || sent === undefined) return false;
    this.#leave(most[0], sent);
    sent.refuse(new Error("too many questions of one sender wait"));
    return true;
  }

  #turn(owner: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => {
      this.#leave(owner, waiting);
      reject(signal.reason);
    };
    const end = () => signal.removeEventListener("abort", onAbort);
    const waiting: Waiting = {
      onTurn() {
        end();
        resolve();
      },
      refuse(error) {
        end();
        reject(error);
      },
    };
    const line = this.#owners.get(owner) ?? [];
    line.push(waiting);
    this.#owners.set(owner, line);
    this.#waiting++;
    signal.addEventListener("abort", onAbort, { once: true });
    return promise;
  }

  #leave(owner: string, waiting: Waiting): void {
    const line = this.#owners.get(owner);
    const at = line?.indexOf(waiting) ?? -1;
    if (line === undefined || at < 0) return;
    line.splice(at, 1);
    this.#waiting--;
    if (line.length === 0) this.#owners.delete(owner);
  }

  #give(): void {
    const [next] = this.#owners;
    const waiting = next?.[1][0];
    if (next === undefined || waiting === undefined) {
      this.#free++;
      return;
    }
    const [owner, line] = next;
    this.#leave(owner, waiting);
    // Its next one waits for those of all others.
    if (this.#owners.delete(owner)) this.#owners.set(owner, line);
    waiting.onTurn();
  }
}
